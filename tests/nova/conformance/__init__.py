# SPDX-License-Identifier: Apache-2.0

"""Nova's own tests over the driver, with a libvirt that is none of Nova's.

In eventlet mode Nova patches the process itself, when its tests are imported.
"""

import os

EVENTLET = os.environ.get('NOVA_LIBVIRT_TEST_EVENTLET') == '1'
os.environ['OS_NOVA_DISABLE_EVENTLET_PATCHING'] = str(not EVENTLET).lower()

# Before anything else of Nova's: it sets up what its tests count on.
import nova.tests.unit  # noqa: E402,F401
