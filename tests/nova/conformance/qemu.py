# SPDX-License-Identifier: Apache-2.0

"""The driver over a private libvirtd and real QEMU."""

from typing import ClassVar

from nova_libvirt_driver.testing import libvirtd
from tests.nova.conformance import base


class QemuTest(base.ConformanceTest):
    """All tests share a libvirtd."""

    host: ClassVar[libvirtd.PrivateHost]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.host = libvirtd.PrivateHost('conformance')
        cls.host.start()
        cls.addClassCleanup(cls.host.stop)
        # SPICE finds no address, not even 127.0.0.1, where none but those
        # of the loopback are.
        for words in (f'link add {base.BRIDGE} type bridge',
                      f'address add 192.0.2.1/24 dev {base.BRIDGE}',
                      f'link set {base.BRIDGE} up'):
            cls.host.run(['ip', *words.split()])

    def uri(self) -> str:
        return self.host.uri

    def setUp(self) -> None:
        # First, so that it comes after all that the test cleans up.
        self.addCleanup(base.remove_guests, self.uri())
        super().setUp()
