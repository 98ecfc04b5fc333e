# SPDX-License-Identifier: Apache-2.0

"""What a person sees of the service, as lines of text.

Only makes the lines: where they go and when is decided in ``show``.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import datetime

from nova_libvirt_driver.compute import audit as audit_module
from nova_libvirt_driver.compute import record as record_module
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.spec import instance as instance_spec

INDENT = '  '
HEADINGS = ('NAME', 'UUID', 'STATE', 'VCPUS', 'MEMORY')
TO_THE_RIGHT = frozenset((3, 4))


def connection(
        status: connection_spec.ConnectionStatus,
        facts: host_spec.HostFacts) -> Iterator[str]:
    """Say what the service is connected to."""
    yield f'Connected to {status.uri}'
    yield _pair('hypervisor', f'{facts.hypervisor_type} '
                f'{host_spec.dotted(facts.hypervisor_version)}, '
                f'libvirt {host_spec.dotted(facts.libvirt_version)}')
    if status.unresponsive:
        yield _pair('no answer', ', '.join(status.unresponsive))
    yield _pair('events', _yes(status.events, 'delivered',
                               'not supported by this connection'))
    yield _pair('keepalive', _yes(
        status.keepalive, 'on',
        'not needed, the hypervisor is in this process'
        if status.in_process else 'not supported by this connection'))


def host(
        facts: host_spec.HostFacts, resources: host_spec.HostResources,
        record: record_module.ServiceRecord) -> Iterator[str]:
    """Say what the host has, what is in use, and whether it takes more."""
    yield f'Host {facts.hostname}'
    enabled = 'enabled' if record.enabled else (
        f'disabled by the {record.disabled_by}: {record.reason}')
    yield _pair('service', enabled)
    yield _pair('processor', f'{facts.arch} {facts.cpu_model}'.strip())
    yield _pair('vCPUs', _usage(resources.vcpus_used, resources.vcpus))
    yield _pair('memory', _usage(
        resources.memory_mb_used, resources.memory_mb, 'MiB'))
    yield _pair('disk', _usage(
        resources.local_gb_used, resources.local_gb, 'GiB'))


def guests(
        instances: Sequence[instance_spec.InstanceSummary],
) -> Iterator[str]:
    """List the guests."""
    running = sum(instance.state is instance_spec.PowerState.RUNNING
                  for instance in instances)
    yield f'Guests: {len(instances)}, {running} running'
    if instances:
        yield from _table([HEADINGS, *map(_row, instances)])


def event(happened: event_spec.LifecycleEvent) -> str:
    """Say what happened to a guest, in one line."""
    detail = f' ({happened.detail})' if happened.detail else ''
    late = ', found after a reconnect' if happened.synthesized else ''
    return (f'{INDENT}{clock(happened.timestamp)}  {happened.name}  '
            f'{happened.transition.value}{detail}{late}')


def note(timestamp: float, text: str) -> str:
    """Say something else that happened, in the form of an event."""
    return f'{INDENT}{clock(timestamp)}  {text}'


def clock(timestamp: float) -> str:
    """Return the local time of day."""
    return datetime.datetime.fromtimestamp(timestamp).strftime('%H:%M:%S')


def down(
        status: connection_spec.ConnectionStatus | None,
        error: str) -> Iterator[str]:
    """Say that there is no connection yet, and what comes next."""
    yield f'Not connected to {status.uri if status else "libvirt"}'
    yield _pair('reason', (status and status.last_error) or error)
    yield _pair('next', 'it is tried again and again; Ctrl-C ends this')


def everything(
        status: connection_spec.ConnectionStatus | None,
        record: record_module.ServiceRecord,
        audit: audit_module.Audit) -> Iterator[str]:
    """Say all that is known after an audit that worked."""
    if status is not None and audit.facts is not None:
        yield from connection(status, audit.facts)
    if audit.facts is not None and audit.resources is not None:
        yield from host(audit.facts, audit.resources, record)
    yield from guests(audit.instances)


def _pair(name: str, value: str) -> str:
    return f'{INDENT}{name:<11} {value}'


def _yes(flag: bool, yes: str, no: str) -> str:
    return yes if flag else no


def _usage(used: int, total: int, unit: str = '') -> str:
    tail = f' {unit}' if unit else ''
    return f'{used:,} of {total:,}{tail} in use'


def _row(instance: instance_spec.InstanceSummary) -> tuple[str, ...]:
    memory = instance.memory_mib
    return (instance.name, instance.uuid, instance.status,
            '-' if instance.vcpus is None else str(instance.vcpus),
            '-' if memory is None else f'{memory:,} MiB')


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.rjust(width) if number in TO_THE_RIGHT else cell.ljust(width)
            for number, (cell, width) in enumerate(
                zip(row, widths, strict=True))]
        yield (INDENT + '  '.join(cells)).rstrip()
