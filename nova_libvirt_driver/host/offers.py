# SPDX-License-Identifier: Apache-2.0

"""What guests of this host can have, whatever their machine type."""

from collections.abc import Iterator

from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.host import capabilities as capabilities_module
from nova_libvirt_driver.host import facts as facts_module
from nova_libvirt_driver.spec import capabilities as capabilities_spec
from nova_libvirt_driver.spec import cpu as cpu_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import policy as policy_spec

Mode = cpu_spec.CpuMode

# What QEMU gives a guest whose CPU is not named.
_UNNAMED = {'i686': 'qemu32', 'ppc64le': 'POWER8', 'aarch64': 'max'}
_UNNAMED_ELSEWHERE = 'qemu64'


class Offers:
    """Makes :class:`~nova_libvirt_driver.spec.host.HostOffers`.

    Several calls for each architecture, once for each connection.
    """

    def __init__(
            self, link: link_module.Link, facts: facts_module.Facts,
            capabilities: capabilities_module.Capabilities,
            policy: policy_spec.GuestPolicy) -> None:
        self._link = link
        self._facts = facts
        self._capabilities = capabilities
        self._policy = policy
        self._offers = facts_module.once(link, self._read)

    def get(self) -> host_spec.HostOffers:
        """Return what guests can have.

        :raises HypervisorUnavailable: there is no connection
        """
        # A lost connection is an error, whatever is remembered of it.
        self._link.connection()
        return self._offers.get().value

    def _read(self) -> host_spec.HostOffers:
        facts = self._facts.get()
        found = [host for kind in facts.guest_kinds
                 if kind.virt_type == self._policy.virt_type
                 for host in self._of_kind(kind)]
        return host_spec.HostOffers(
            archs=frozenset(each.arch for each in found),
            cpu_features=self._cpu_features(facts, found),
            disk_buses=_union(each.disk_buses for each in found),
            video_models=_union(each.video_models for each in found),
            tpm_models=_union(each.tpm_models for each in found),
            tpm_versions=_union(each.tpm_versions for each in found),
            secure_boot=any(each.secure_boot for each in found),
            stateless_firmware=any(
                each.stateless_firmware and each.loaders for each in found))

    def _of_kind(
            self, kind: host_spec.GuestKind
    ) -> list[capabilities_spec.DomainCapabilities]:
        try:
            # The empty one is that of a guest that names none.
            return [self._capabilities.get(
                kind.arch, machine, kind.virt_type).capabilities
                for machine in ('', *kind.machines)]
        except exception.UnsupportedOperation:
            # As for kvm with the emulator of another architecture.
            return []

    def _cpu_features(
            self, facts: host_spec.HostFacts,
            found: list[capabilities_spec.DomainCapabilities]
    ) -> frozenset[str]:
        mode = self._policy.chosen_cpu_mode(_union(
            each.cpu_modes for each in found if each.arch == facts.arch))
        if mode is Mode.NONE:
            # Flags are refused without a model.
            return self._capabilities.features_of(facts.arch, _UNNAMED.get(
                facts.arch, _UNNAMED_ELSEWHERE))
        features = facts.cpu_features
        if mode is Mode.CUSTOM:
            features = _union(
                self._capabilities.features_of(facts.arch, model)
                for model in self._policy.usable_cpu_models(_union(
                    each.cpu_models for each in found
                    if each.arch == facts.arch)))
        flags = self._policy.cpu_flags
        return (features | {flag.name for flag in flags if flag.enabled}) - {
            flag.name for flag in flags if not flag.enabled}


def _union(sets: Iterator[frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*sets)
