# SPDX-License-Identifier: Apache-2.0

"""The entry point of ``nova-libvirt``.

Also runs it from a source tree: ``python -m nova_libvirt_driver.cli``.
"""

import sys

from nova_libvirt_driver.cli import app

main = app.main

if __name__ == '__main__':
    sys.exit(main())
