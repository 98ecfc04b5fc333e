# SPDX-License-Identifier: Apache-2.0

"""Tells systemd how the service is, when systemd has started it.

oslo.service can only say that a service is ready; this also says how it is
doing and that it is stopping.
"""

import os
import socket

from oslo_log import log as logging

LOG = logging.getLogger(__name__)


def notify(*assignments: str) -> None:
    """Send assignments as ``READY=1``; nothing outside of systemd.

    Never blocks for long and never raises.
    """
    address = os.environ.get('NOTIFY_SOCKET', '')
    if not address:
        return
    if address.startswith('@'):
        address = '\0' + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
            link.settimeout(1)
            link.connect(address)
            link.sendall('\n'.join(assignments).encode())
    except OSError as error:
        LOG.debug('systemd was not told: %s', error)
