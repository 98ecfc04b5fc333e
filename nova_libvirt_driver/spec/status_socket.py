# SPDX-License-Identifier: Apache-2.0

"""Where the status socket is, when it is not configured.

It needs the standard library only, and little of that: a command that has
to answer at once starts with it.
"""

STATE_PATH = '/var/lib/nova-libvirt'
"""Default of ``state_path``."""

PATH = '$state_path/nova-libvirt-${host}.sock'
"""Default of ``[nova_libvirt_driver] status_socket``."""

OFF = 'off'


def named_by(value: str) -> str:
    """Return the path that a value of the option names, empty for none."""
    path = value.strip()
    return '' if path.lower() == OFF else path
