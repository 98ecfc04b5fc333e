# SPDX-License-Identifier: Apache-2.0

"""Makes the disk of the Linux guest on the machine outside.

usage: python -m tests.lab.linux FILE
"""

import os
import sys

from nova_libvirt_driver.testing import linux_disk
from nova_libvirt_driver.testing import linux_guest

DISK = 'NOVA_LIBVIRT_LAB_DISK'
"""Environment variable that says where it is inside."""


def content() -> bytes:
    """Return the disk, inside of the lab."""
    with open(os.environ[DISK], 'rb') as file:
        return file.read()


if __name__ == '__main__':
    linux_disk.write_disk(sys.argv[1], linux_guest.build(), name='lab')
