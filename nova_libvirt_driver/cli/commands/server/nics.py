# SPDX-License-Identifier: Apache-2.0

"""Interfaces, as they are typed."""

import argparse
from collections.abc import Sequence
import dataclasses
import random
import re

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.spec import nic as nic_spec

HELP = ("name of a network that libvirt manages, bridge=br0, user for QEMU's "
        "own")

_NicKind = nic_spec.NicKind
_NONE = 'none'
# The one of KVM's guests; it is one that no maker of cards has.
_MAC_PREFIX = '52:54:00'
_FORWARD = re.compile(
    r'((?P<address>[0-9.]+):)?(?P<host>[0-9]{1,5}):(?P<guest>[0-9]{1,5})'
    '(/(?P<protocol>tcp|udp))?')
_MAC = re.compile('([0-9a-f]{2}:){5}[0-9a-f]{2}')


def all_of(
        words: Sequence[str], *, qemu: bool) -> tuple[nic_spec.NicSpec, ...]:
    """Return the interfaces of a new server.

    :param words: what was typed; nothing takes the network that needs no
        rights and nothing of the host, where there is one
    :param qemu: the hypervisor is QEMU
    :raises UsageError: a word makes no sense
    """
    if not words:
        words = ('user',) if qemu else ()
    if _NONE in words and len(words) > 1:
        raise errors.UsageError(
            '--network none stands alone', 'leave out one of them')
    return tuple(one(word) for word in words if word != _NONE)


def forward(text: str) -> nic_spec.PortForward:
    """Read a forwarded port, as in 2222:22 or 0.0.0.0:5353:53/udp."""
    found = _FORWARD.fullmatch(text)
    if not found or not all(
            0 < int(found[name]) < 65536 for name in ('host', 'guest')):
        raise argparse.ArgumentTypeError(
            f'{text!r} is not [ADDRESS:]HOST_PORT:GUEST_PORT[/udp]')
    return nic_spec.PortForward(
        host_port=int(found['host']), guest_port=int(found['guest']),
        protocol=nic_spec.PortProtocol(found['protocol'] or 'tcp'),
        address=found['address'] or '127.0.0.1')


def with_forwards(
        found: tuple[nic_spec.NicSpec, ...],
        forwards: Sequence[nic_spec.PortForward],
) -> tuple[nic_spec.NicSpec, ...]:
    """Return the interfaces; the first of QEMU's own forwards the ports.

    :raises UsageError: none is on QEMU's own network
    """
    if not forwards:
        return found
    for number, nic in enumerate(found):
        if nic.kind is _NicKind.USER:
            return (*found[:number], dataclasses.replace(
                nic, forwards=tuple(forwards)), *found[number + 1:])
    raise errors.UsageError(
        "--forward takes an interface on QEMU's own network",
        'add --network user; on other networks the server has an address')


def one(word: str) -> nic_spec.NicSpec:
    """Return an interface with a new address.

    :raises UsageError: the word makes no sense
    """
    name, sign, value = word.partition('=')
    if not sign:
        if word == _NicKind.USER:
            return nic_spec.NicSpec(mac=new_mac(), kind=_NicKind.USER)
        name, value = _NicKind.NETWORK, word
    if name not in (_NicKind.BRIDGE, _NicKind.NETWORK) or not value:
        raise errors.UsageError(
            f'{word!r} is not a network',
            'take default, network=NAME, bridge=NAME, user or none')
    return nic_spec.NicSpec(
        mac=new_mac(), kind=_NicKind(name), source=value)


def mac(text: str) -> str:
    """Read the address of a card."""
    text = text.lower()
    if not _MAC.fullmatch(text) or int(text[:2], 16) & 1:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not the address of a card')
    return text


def new_mac() -> str:
    """Return the address of a new card."""
    # From the system: two processes must not get the same.
    tail = random.SystemRandom().getrandbits(24).to_bytes(3, 'big')
    return f'{_MAC_PREFIX}:{tail.hex(":")}'
