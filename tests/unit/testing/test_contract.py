# SPDX-License-Identifier: Apache-2.0

"""The contract of a connection, kept by the fake and by libvirt itself."""

import pathlib
from typing import Any

import fixtures
import libvirt
from lxml import etree

from nova_libvirt_driver.connection import opener
from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import guests
from tests.unit.testing import contract

RUN_STATE = '{http://libvirt.org/schemas/domain/test/1.0}runstate'


class _Fake(contract.Contract):
    """Connections to the fake hypervisor."""

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = fake_libvirt.FakeHypervisor()
        self.hypervisor.add_guest(
            contract.GUEST, uuid=contract.UUID,
            state=libvirt.VIR_DOMAIN_SHUTOFF)

    def open(self, *, read_only: bool = False) -> Any:
        flags = libvirt.VIR_CONNECT_RO if read_only else 0
        auth = [[], lambda asked, opaque: -1, None]
        return self.hypervisor.open_auth('fake:///', auth, flags)


class FakeConnectionTest(_Fake, contract.ConnectionContract):
    """The fake as a connection."""


class FakeDefinitionTest(_Fake, contract.DefinitionContract):
    """Of the fake."""


class FakeLinkTest(_Fake, contract.LinkContract):
    """The fake as a link that breaks."""

    def cut_link(self, connection: Any) -> None:
        connection.break_()


class FakeCredentialsTest(_Fake, contract.CredentialsContract):
    """The fake asking for credentials."""

    def open_auth(self, auth: list[Any]) -> Any:
        self.hypervisor.require_credentials('operator', 'secret')
        return self.hypervisor.open_auth('fake:///', auth)


class _TestDriver(contract.Contract):
    """Connections to libvirt's in-process driver, each with own guests."""

    def setUp(self) -> None:
        super().setUp()
        opener.ensure_loop()
        folder = self.useFixture(fixtures.TempDir()).path
        self.node = pathlib.Path(folder, 'node.xml')
        node = etree.Element('node')
        node.append(self._guest())
        self.node.write_bytes(etree.tostring(node))

    def _guest(self) -> etree._Element:
        guest = etree.fromstring(guests.guest_xml_for_test_driver(
            contract.GUEST, uuid=contract.UUID))
        # Else a guest of a node's file is running.
        state = etree.SubElement(guest, RUN_STATE)
        state.text = str(libvirt.VIR_DOMAIN_SHUTOFF)
        return guest

    def open(self, *, read_only: bool = False) -> Any:
        flags = libvirt.VIR_CONNECT_RO if read_only else 0
        return self.open_auth([[], lambda asked, opaque: -1, None], flags)

    def open_auth(self, auth: list[Any], flags: int = 0) -> Any:
        return libvirt.openAuth(f'test://{self.node}', auth, flags)


class LibvirtConnectionTest(_TestDriver, contract.ConnectionContract):
    """Libvirt's in-process driver as a connection."""


class LibvirtDefinitionTest(_TestDriver, contract.DefinitionContract):
    """Of libvirt's test driver."""


class LibvirtCredentialsTest(_TestDriver, contract.CredentialsContract):
    """Libvirt's in-process driver asking for credentials."""

    def setUp(self) -> None:
        super().setUp()
        node = etree.fromstring(self.node.read_bytes())
        user = etree.SubElement(
            etree.SubElement(node, 'auth'), 'user', password='secret')
        user.text = 'operator'
        self.node.write_bytes(etree.tostring(node))
