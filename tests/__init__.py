# SPDX-License-Identifier: Apache-2.0

"""The test suite; in eventlet mode the process is patched here, first.

``NOVA_LIBVIRT_TEST_EVENTLET=1`` runs the suite the way an eventlet service
runs the package. Without it nothing here imports eventlet.
"""

import os

if os.environ.get('NOVA_LIBVIRT_TEST_EVENTLET') == '1':
    import eventlet

    eventlet.monkey_patch()
