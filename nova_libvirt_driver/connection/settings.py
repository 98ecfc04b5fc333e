# SPDX-License-Identifier: Apache-2.0

"""What the configuration says about the connection."""

import dataclasses

from nova_libvirt_driver.connection import auth

_URIS = {'lxc': 'lxc:///', 'parallels': 'parallels:///system'}


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Values of the options; units are in the names."""

    host: str
    credentials: auth.Credentials
    keepalive_interval_s: int = 5
    keepalive_count: int = 5
    connect_timeout_s: float = 10.0
    reconnect_interval_s: float = 0.5
    reconnect_interval_max_s: float = 10.0
    service_down_grace_s: float = 5.0
    look_timeout_s: float = 5.0
    call_timeout_s: float = 60.0


def default_uri(virt_type: str) -> str:
    """Return the URI for a kind of guests, as Nova chooses it."""
    return _URIS.get(virt_type, 'qemu:///system')
