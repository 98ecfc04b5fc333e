# SPDX-License-Identifier: Apache-2.0

"""What the configuration says about the connection."""

import dataclasses
from typing import Any

import libvirt

# What libvirt may ask for: the words for it, and which of Credentials it is.
_ASKED = {
    libvirt.VIR_CRED_AUTHNAME: ('a user name', 'username'),
    libvirt.VIR_CRED_ECHOPROMPT: ('a user name', 'username'),
    libvirt.VIR_CRED_REALM: ('a realm', 'realm'),
    libvirt.VIR_CRED_PASSPHRASE: ('a password', 'password'),
    libvirt.VIR_CRED_NOECHOPROMPT: ('a password', 'password'),
    libvirt.VIR_CRED_EXTERNAL: ('an external authentication', ''),
}
_UNKNOWN = 'an unknown credential', ''

CREDENTIAL_TYPES = tuple(_ASKED)
"""What the callback is offered for; libvirt asks for no other type."""

_ANSWER = 4
_ANSWERED = 0
_REFUSED = -1


@dataclasses.dataclass(frozen=True, slots=True)
class Credentials:
    """What the configuration says; an empty text means nothing."""

    username: str = ''
    password: str = dataclasses.field(default='', repr=False)
    realm: str = ''


class Authentication:
    """The credentials callback of one attempt to connect.

    It runs on a native thread, where it may neither log nor raise: an
    exception would end up on stderr. It keeps why it refused instead.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self.refusal = ''
        """Why the answer was no; empty when nothing was refused."""

    def as_argument(self) -> list[Any]:
        """Return the ``auth`` argument of ``libvirt.openAuth``."""
        return [list(CREDENTIAL_TYPES), self.callback, None]

    def callback(self, credentials: list[list[Any]], opaque: object) -> int:
        """Fill in each answer; refuse when one is missing.

        :param credentials: lists of type, prompt, challenge, default answer
            and the place for the answer
        """
        for credential in credentials:
            kind, field = _ASKED.get(credential[0], _UNKNOWN)
            answer = getattr(self._credentials, field) if field else ''
            if not answer:
                self.refusal = (
                    f'libvirt asked for {kind} and none is configured')
                return _REFUSED
            credential[_ANSWER] = answer
        return _ANSWERED


_URIS = {'lxc': 'lxc:///', 'parallels': 'parallels:///system'}


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """Values of the options; units are in the names."""

    host: str
    credentials: Credentials
    keepalive_interval_s: int = 5
    keepalive_count: int = 5
    connect_timeout_s: float = 10.0
    reconnect_interval_s: float = 0.5
    reconnect_interval_max_s: float = 10.0
    service_down_grace_s: float = 5.0
    look_timeout_s: float = 5.0
    call_timeout_s: float = 60.0
    job_timeout_s: float = 1800.0


def default_uri(virt_type: str) -> str:
    """Return the URI for a kind of guests, as Nova chooses it."""
    return _URIS.get(virt_type, 'qemu:///system')
