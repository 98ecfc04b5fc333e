# SPDX-License-Identifier: Apache-2.0

"""What the configuration must not say, and what the host must have.

Nova's own driver looks at the same when it starts. A service that could not
do what it says, or give its guests what they were promised, does not start.
"""

from collections.abc import Iterable
import grp
import pwd
from typing import Any

from nova.compute import utils as compute_utils
from nova import exception as nova_exception
from nova.objects import fields
from nova import utils
from nova.virt import hardware
from os_brick.initiator import linuxscsi
from oslo_log import log as logging

import nova.conf
from nova_libvirt_driver.conf import compute
from nova_libvirt_driver.nova_plugin import options as options_module
from nova_libvirt_driver.spec import host as host_spec

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_VIRT_TYPES = ('kvm', 'qemu')
_LIBVIRT_MIN = 8_000_000
_QEMU_MIN = 6_002_000
_QEMU = 'QEMU'


def check_options() -> None:
    """Look for options that contradict each other; asks no hypervisor.

    :raises InvalidConfiguration: some do, or ask for what is not done
    """
    for name, why in options_module.refused(CONF):
        raise _invalid(f'{name} has to be left as it is without a setting: '
                       f'{why}')
    options = CONF.libvirt
    if options.virt_type not in _VIRT_TYPES:
        raise _invalid(f'[libvirt] virt_type {options.virt_type} is not '
                       f'supported: take {" or ".join(_VIRT_TYPES)}')
    if options.cpu_mode == 'custom' and not options.cpu_models:
        raise _invalid('[libvirt] cpu_mode is custom, and cpu_models names '
                       'no model')
    if options.cpu_mode != 'custom' and options.cpu_models:
        raise _invalid('[libvirt] cpu_models is set, and cpu_mode is not '
                       'custom')
    if options.file_backed_memory:
        _check_memory_in_files()
    file_system = CONF.default_ephemeral_format
    if file_system and file_system not in compute.EPHEMERAL_FORMATS:
        raise _invalid(
            f'default_ephemeral_format {file_system} is not supported: take '
            f'one of {", ".join(compute.EPHEMERAL_FORMATS)}')
    _check_cpu_sets()
    if CONF.my_ip not in compute_utils.get_machine_ips():
        LOG.warning('my_ip %s is not an address of this host', CONF.my_ip)


def check_volumes() -> None:
    """Look for what connecting volumes needs; runs a program on the host.

    :raises InvalidConfiguration: volumes have to have several paths, and
        multipathd does not run
    """
    # Nova 30 and before have no such option.
    if not getattr(CONF.libvirt, 'volume_enforce_multipath', False):
        return
    if not CONF.libvirt.volume_use_multipath:
        raise _invalid('[libvirt] volume_enforce_multipath needs '
                       'volume_use_multipath')
    if not linuxscsi.LinuxSCSI.is_multipath_running(
            root_helper=utils.get_root_helper()):
        raise _invalid('[libvirt] volume_enforce_multipath is set, and '
                       'multipathd does not run')


def check_host(
        facts: host_spec.HostFacts, offers: host_spec.HostOffers) -> None:
    """Look for what the configuration promises and the host has not.

    :raises InvalidConfiguration: something of that, or of what Nova needs
    """
    for name, found, least in (
            ('libvirt', facts.libvirt_version, _LIBVIRT_MIN),
            ('QEMU', facts.hypervisor_version, _QEMU_MIN)):
        if facts.hypervisor_type == _QEMU and found < least:
            raise _invalid(f'{name} {host_spec.dotted(found)} is too old: '
                           f'{host_spec.dotted(least)} is needed')
    if CONF.libvirt.swtpm_enabled and not offers.tpm_versions:
        raise _invalid('[libvirt] swtpm_enabled is set, and QEMU or libvirt '
                       'finds no swtpm on this host')
    if CONF.libvirt.swtpm_enabled:
        _check_swtpm_owner()


def check_instances(instances: Iterable[Any]) -> None:
    """Look for instances that the host cannot run as it is configured.

    :raises InvalidConfiguration: there is one
    """
    for instance in instances:
        if instance.deleted:
            continue
        _check_pinning(instance)
        if not CONF.libvirt.swtpm_enabled and hardware.get_vtpm_constraint(
                instance.flavor, instance.image_meta):
            raise _invalid(f'instance {instance.uuid} has a TPM, and '
                           '[libvirt] swtpm_enabled is not set')


def _check_swtpm_owner() -> None:
    """See whether those exist who get what a TPM remembers after a move."""
    look_ups = (('user', pwd.getpwnam), ('group', grp.getgrnam))
    for kind, look_up in look_ups:
        owner = CONF.libvirt[f'swtpm_{kind}']
        try:
            look_up(owner)
        except KeyError:
            raise _invalid(f'[libvirt] swtpm_{kind} is {owner}, and this '
                           f'host has no {kind} {owner}') from None


def _check_memory_in_files() -> None:
    if CONF.ram_allocation_ratio not in (None, 1.0):
        raise _invalid('[libvirt] file_backed_memory needs a '
                       'ram_allocation_ratio of 1')
    total_mib = CONF.libvirt.file_backed_memory
    reserved_mib = CONF.reserved_host_memory_mb
    if reserved_mib > total_mib:
        raise _invalid(f'reserved_host_memory_mb {reserved_mib} is more than '
                       f'[libvirt] file_backed_memory {total_mib}: set it to '
                       '0')
    if reserved_mib:
        # Only the memory in files is reported, not that of the host
        # (LP 1882821).
        LOG.warning('reserved_host_memory_mb takes %d MiB from what '
                    '[libvirt] file_backed_memory gives to guests, and '
                    'nothing from the memory of the host: set it to 0',
                    reserved_mib)


def _check_cpu_sets() -> None:
    shared = hardware.get_cpu_shared_set() or set()
    dedicated = hardware.get_cpu_dedicated_set() or set()
    if hardware.get_vcpu_pin_set():
        if dedicated:
            raise _invalid('vcpu_pin_set and [compute] cpu_dedicated_set '
                           'exclude each other: unset the former')
        return
    if shared & dedicated:
        raise _invalid('[compute] cpu_shared_set and cpu_dedicated_set have '
                       f'CPUs in common: {sorted(shared & dedicated)}')
    if (shared or dedicated) and CONF.reserved_host_cpus:
        raise _invalid('reserved_host_cpus is not for hosts with [compute] '
                       'cpu_shared_set or cpu_dedicated_set: unset it')


def _check_pinning(instance: Any) -> None:
    policy = fields.CPUAllocationPolicy
    topology = instance.numa_topology
    kind = topology.cpu_policy if topology else None
    needs = {
        None: ('cpu_shared_set',), policy.SHARED: ('cpu_shared_set',),
        policy.DEDICATED: ('cpu_dedicated_set',),
        policy.MIXED: ('cpu_shared_set', 'cpu_dedicated_set')}[kind]
    there = {name for name in ('cpu_shared_set', 'cpu_dedicated_set')
             if CONF.compute[name]}
    if CONF.vcpu_pin_set or not there:
        # All CPUs are for either.
        if kind != policy.MIXED:
            return
    for name in needs:
        if name not in there:
            raise _invalid(
                f'instance {instance.uuid} has CPUs of the policy '
                f'{kind or policy.SHARED}, and [compute] {name} sets none '
                'apart')
    dedicated = hardware.get_cpu_dedicated_set()
    lost = topology.cpu_pinning - dedicated if kind and dedicated else set()
    if lost:
        LOG.warning('The instance is pinned to CPUs %s, which [compute] '
                    'cpu_dedicated_set does not have', sorted(lost),
                    instance=instance)


def _invalid(reason: str) -> nova_exception.InvalidConfiguration:
    return nova_exception.InvalidConfiguration(reason)
