# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt host``: the host below the guests.

Only looks.
"""

import argparse
from typing import Any

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.spec import host as host_spec

Fields = dict[str, Any]


class HostShow(base.ShowOne):
    """Show what this host has, and what of it is in use."""

    remote = True

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        with sources.local(base.arguments_of(self)) as driver:
            facts = driver.get_host_facts()
            node, = driver.get_available_nodes()[:1]
            resources = driver.get_available_resource(node)
        fields = {**describe_facts(facts), **describe_resources(resources)}
        return tuple(fields), tuple(fields.values())


def describe_facts(facts: host_spec.HostFacts) -> Fields:
    """Return what the hypervisor says of its host, for people."""
    dotted = host_spec.dotted
    return {
        'hostname': facts.hostname,
        'uri': facts.uri,
        'hypervisor_type': facts.hypervisor_type,
        'hypervisor_version': dotted(facts.hypervisor_version),
        'libvirt_version': dotted(facts.libvirt_version),
        'arch': facts.arch,
        'cpu_model': facts.cpu_model,
        'cpu_sockets': facts.cpu_sockets,
        'cpu_cores': facts.cpu_cores,
        'cpu_threads': facts.cpu_threads,
    }


def describe_resources(resources: host_spec.HostResources) -> Fields:
    """Return what the host has, with the unit in each name."""
    return {
        'vcpus': resources.vcpus,
        'vcpus_used': resources.vcpus_used,
        'memory_mib': resources.memory_mb,
        'memory_mib_used': resources.memory_mb_used,
        'disk_gib': resources.local_gb,
        'disk_gib_used': resources.local_gb_used,
        'running_servers': resources.running_instances,
    }
