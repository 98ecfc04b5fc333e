# SPDX-License-Identifier: Apache-2.0

"""The test of a connection that nobody vouches for."""

import libvirt

from nova_libvirt_driver.connection import errors
from nova_libvirt_driver.connection import protocol


def works(connection: protocol.Connection, *, host: str) -> bool:
    """Say whether the connection still works; asks for libvirt's version.

    :raises DriverError: libvirt answered with an error that does not say
        that the link is broken
    """
    try:
        connection.getLibVersion()
    except libvirt.libvirtError as error:
        if errors.is_broken_link(error):
            return False
        raise errors.translate(
            error, host=host, tried='test the connection') from error
    return True
