# SPDX-License-Identifier: Apache-2.0

"""The networks of a server as they are typed."""

from collections.abc import Sequence
import random

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.spec import nic as nic_spec

Kind = nic_spec.NicKind

NONE = 'none'

# The one of KVM's guests; it is one that no maker of cards has.
_MAC_PREFIX = '52:54:00'


def nics(words: Sequence[str], *, qemu: bool) -> tuple[nic_spec.NicSpec, ...]:
    """Return the interfaces of a new server.

    :param words: what was typed; nothing takes the network that needs no
        rights and nothing of the host, where there is one
    :param qemu: the hypervisor is QEMU
    :raises UsageError: a word makes no sense
    """
    if not words:
        words = ('user',) if qemu else ()
    if NONE in words and len(words) > 1:
        raise errors.UsageError(
            '--network none stands alone', 'leave out one of them')
    return tuple(_nic(word) for word in words if word != NONE)


def _nic(word: str) -> nic_spec.NicSpec:
    name, sign, value = word.partition('=')
    if not sign:
        if word == Kind.USER:
            return nic_spec.NicSpec(mac=_mac(), kind=Kind.USER)
        name, value = Kind.NETWORK, word
    if name not in (Kind.BRIDGE, Kind.NETWORK) or not value:
        raise errors.UsageError(
            f'{word!r} is no network',
            'take default, network=NAME, bridge=NAME, user or none')
    return nic_spec.NicSpec(mac=_mac(), kind=Kind(name), source=value)


def _mac() -> str:
    # From the system: two processes must not get the same.
    tail = random.SystemRandom().getrandbits(24).to_bytes(3, 'big')
    return f'{_MAC_PREFIX}:{tail.hex(":")}'
