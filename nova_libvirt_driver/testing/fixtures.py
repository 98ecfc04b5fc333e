# SPDX-License-Identifier: Apache-2.0

"""The rigs as fixtures of the ``fixtures`` library.

Owns the adapters only; it is the one module here that needs that library,
which is installed with the extra ``test``.
"""

from typing import Any

import fixtures

from nova_libvirt_driver.testing import fake_libvirt
from nova_libvirt_driver.testing import libvirtd


class PrivateHost(fixtures.Fixture):
    """A started :class:`libvirtd.PrivateHost` as :attr:`host`.

    Takes the arguments of :class:`libvirtd.PrivateHost`. On clean-up daemon,
    guests, namespaces and folder are gone.
    """

    host: libvirtd.PrivateHost

    def __init__(self, name: str = 'host', **options: Any) -> None:
        super().__init__()
        self._name = name
        self._options = options

    def _setUp(self) -> None:
        self.host = libvirtd.PrivateHost(self._name, **self._options)
        self.addCleanup(self.host.stop)
        self.host.start()


class FakeLibvirt(fixtures.Fixture):
    """A :class:`fake_libvirt.FakeHypervisor` behind ``libvirt.openAuth``.

    While it is in use every URI leads to :attr:`hypervisor`.
    """

    hypervisor: fake_libvirt.FakeHypervisor

    def __init__(
        self, hypervisor: fake_libvirt.FakeHypervisor | None = None
    ) -> None:
        super().__init__()
        self._hypervisor = hypervisor

    def _setUp(self) -> None:
        self.hypervisor = self._hypervisor or fake_libvirt.FakeHypervisor()
        self.useFixture(fixtures.MonkeyPatch(
            'libvirt.openAuth', self.hypervisor.open_auth))
