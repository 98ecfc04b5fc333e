# SPDX-License-Identifier: Apache-2.0

"""The compute host as one sees who is logged in there."""

import dataclasses
import pathlib
import re
import subprocess

from checks import compute

STATE = compute.STATE
INSTANCES = STATE / 'nova-compute' / 'instances'
LOG = STATE / 'log'
TIMEOUT_S = 120
# What a driver keeps there for itself.
OWN_FOLDERS = re.compile(r'(_base|locks|snapshots|\..*)$')
# A whole image and its record, under the digest of its id; whatever else is
# there may be half of one.
CACHED = re.compile(r'([0-9a-f]{40}(\.json)?|\.locks)$')


def run(*command: str, timeout_s: float = TIMEOUT_S) -> str:
    """Run a command to its end and return what it printed."""
    return subprocess.run(
        command, check=True, stdout=subprocess.PIPE, text=True,
        timeout=timeout_s).stdout


def crash(daemon: str, after_s: float = 1) -> None:
    """Kill a daemon of the host and start it again.

    :param daemon: nova-compute or libvirtd
    """
    run(str(compute.DEVCLOUD / 'crash'), daemon, str(after_s))


@dataclasses.dataclass(frozen=True)
class Traces:
    """What servers leave on a host while they are there."""

    domains: frozenset[str]
    folders: frozenset[str]
    base: frozenset[str]
    """Files that are no whole image."""
    ports: frozenset[str]
    """Of the integration bridge."""
    secrets: frozenset[str]


def traces() -> Traces:
    """Look now."""
    return Traces(
        domains=_lines('virsh', '-q', 'list', '--all', '--name'),
        folders=frozenset(
            entry.name for entry in INSTANCES.iterdir()
            if entry.is_dir() and not OWN_FOLDERS.match(entry.name)),
        base=frozenset(
            entry.name for entry in (INSTANCES / '_base').glob('*')
            if not CACHED.match(entry.name)),
        ports=_lines('ovs-vsctl', 'list-ports', 'br-int'),
        secrets=_lines('virsh', '-q', 'secret-list'))


def _lines(*command: str) -> frozenset[str]:
    return frozenset(filter(None, map(
        str.strip, run(*command).splitlines())))


def process(domain: str) -> int:
    """Return the process of a domain's QEMU; it ends with the guest."""
    path = pathlib.Path('/run/libvirt/qemu') / f'{domain}.pid'
    return int(path.read_text())


def daemon(name: str) -> int:
    """Return the process of a daemon of the first host."""
    return int((STATE / 'run' / f'{name}-h1.pid').read_text())


def status(pid: int) -> dict[str, str]:
    """Return what the kernel says of a process, field by field."""
    text = pathlib.Path(f'/proc/{pid}/status').read_text()
    return {name: value.strip() for name, _, value in (
        line.partition(':') for line in text.splitlines())}


def user_ids(pid: int) -> set[int]:
    """Return the user ids of a process, all four."""
    return set(map(int, status(pid)['Uid'].split()))
