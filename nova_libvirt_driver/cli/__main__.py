# SPDX-License-Identifier: Apache-2.0

"""Runs the client from a source tree: ``python -m nova_libvirt_driver.cli``.

It adds nothing to :mod:`nova_libvirt_driver.cli.app`.
"""

import sys

from nova_libvirt_driver.cli import app

if __name__ == '__main__':
    sys.exit(app.main())
