# SPDX-License-Identifier: Apache-2.0

"""Secrets of a fake hypervisor."""

import dataclasses
from typing import Protocol

import libvirt
from lxml import etree

from nova_libvirt_driver.testing import fake_fault


@dataclasses.dataclass(slots=True)
class Kept:
    """One secret, as the hypervisor has it."""

    uuid: str
    usage_name: str
    private: bool
    ephemeral: bool
    value: bytes | None = None
    usage_type: int = libvirt.VIR_SECRET_USAGE_TYPE_VTPM


class Hypervisor(Protocol):
    """What a handle needs of the hypervisor."""

    secrets: list[Kept]


class Link(Protocol):
    """What a handle needs of the connection."""

    @property
    def hypervisor(self) -> Hypervisor: ...

    def enter(
        self, method: str, c_name: str, *, write: bool = False) -> None: ...


class FakeSecret:
    """Stand in for ``libvirt.virSecret``."""

    def __init__(self, link: Link, kept: Kept) -> None:
        self._link = link
        self._kept = kept

    def UUIDString(self) -> str:
        """Its uuid; asks nobody."""
        return self._kept.uuid

    def setValue(self, value: bytes, flags: int = 0) -> int:
        """Take the value."""
        self._link.enter('setValue', 'virSecretSetValue', write=True)
        self._kept.value = value
        return 0

    def value(self, flags: int = 0) -> bytes:
        """Return the value, unless it is private."""
        self._link.enter('value', 'virSecretGetValue')
        if self._kept.private or self._kept.value is None:
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_INVALID_SECRET, libvirt.VIR_FROM_SECRET,
                'Invalid secret: secret is private')
        return self._kept.value

    def undefine(self) -> int:
        """Forget the secret."""
        self._link.enter('secretUndefine', 'virSecretUndefine', write=True)
        self._link.hypervisor.secrets.remove(self._kept)
        return 0


def define(link: Link, xml: str) -> FakeSecret:
    """Define a secret, or define it again; one usage has one secret."""
    described = etree.fromstring(xml)
    volume = described.findtext('usage/volume', '')
    kept = Kept(described.findtext('uuid', ''),
                volume or described.findtext('usage/name', ''),
                private=described.get('private') == 'yes',
                ephemeral=described.get('ephemeral') == 'yes',
                usage_type=(libvirt.VIR_SECRET_USAGE_TYPE_VOLUME if volume
                            else libvirt.VIR_SECRET_USAGE_TYPE_VTPM))
    secrets = link.hypervisor.secrets
    for other in secrets:
        if (other.uuid == kept.uuid) != (
                other.usage_name == kept.usage_name):
            raise fake_fault.libvirt_error(
                libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_SECRET,
                f'a secret with UUID {other.uuid} already defined for use '
                f'with {other.usage_name}')
    secrets[:] = [other for other in secrets if other.uuid != kept.uuid]
    secrets.append(kept)
    return FakeSecret(link, kept)


def lookup(link: Link, usage_type: int, usage_name: str) -> FakeSecret:
    """Find a secret by what it is for."""
    for kept in link.hypervisor.secrets:
        if (kept.usage_type, kept.usage_name) == (usage_type, usage_name):
            return FakeSecret(link, kept)
    raise fake_fault.libvirt_error(
        libvirt.VIR_ERR_NO_SECRET, libvirt.VIR_FROM_SECRET,
        f"Secret not found: no secret with matching usage '{usage_name}'")
