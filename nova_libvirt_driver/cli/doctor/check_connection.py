# SPDX-License-Identifier: Apache-2.0

"""Checks of the connection to libvirt, on what was seen of it.

They open nothing and ask libvirt nothing themselves.
"""

import dataclasses
import os
import threading
import urllib.parse

from nova_libvirt_driver.cli.doctor import check_library
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.spec import connection as connection_spec
from nova_libvirt_driver.spec import host as host_spec
from nova_libvirt_driver.xmlmodel import capabilities as capabilities_model

_TRANSPORT = checks.Topic('transport')
_HYPERVISOR = checks.Topic('hypervisor')
_EVENTS = checks.Topic('events')
_KEEPALIVE = checks.Topic('keepalive')
_LOOP = checks.Topic('event loop')

_LOOP_THREAD = 'libvirt-loop'


@dataclasses.dataclass(frozen=True, slots=True)
class Link:
    """What was seen of a connection that works."""

    facts: host_spec.HostFacts
    status: connection_spec.ConnectionStatus
    capabilities: capabilities_model.Capabilities
    """How libvirt describes the host."""


def is_remote(uri: str) -> bool:
    """Say whether the URI names another host."""
    return bool(urllib.parse.urlsplit(uri).hostname)


def is_in_process(uri: str) -> bool:
    """Say whether the hypervisor runs in this process, without a daemon."""
    parts = urllib.parse.urlsplit(uri)
    return '+' not in parts.scheme and not parts.hostname and (
        parts.scheme == 'test' or parts.path.startswith('/embed'))


def is_of_user(uri: str, user_id: int | None = None) -> bool:
    """Say whether the daemon is one that this user alone has, if not root.

    The client of libvirt starts it when it is asked, and it starts what it
    needs.

    :param user_id: default is that of this process
    """
    parts = urllib.parse.urlsplit(uri)
    return (not parts.hostname and parts.path == '/session'
            and (os.geteuid() if user_id is None else user_id) != 0)


def transport(uri: str) -> checks.Check:
    """Check that what is said cannot be read or changed on the way."""
    _, _, way = urllib.parse.urlsplit(uri).scheme.partition('+')
    if way == 'tcp':
        return _TRANSPORT.warning(
            f'{uri} is neither encrypted nor authenticated by TLS',
            'use +tls or +ssh, or a local socket')
    if way or is_remote(uri):
        return _TRANSPORT.ok(way or 'tls')
    return _TRANSPORT.ok(
        'in this process' if is_in_process(uri) else 'local socket')


def hypervisor(link: Link) -> checks.Check:
    """Check that the hypervisor is new enough."""
    kind, number = link.facts.hypervisor_type, link.facts.hypervisor_version
    version = host_spec.dotted(number)
    if kind == 'QEMU' and number < check_library.MIN_QEMU:
        return _HYPERVISOR.failure(
            f'{kind} {version} is older than '
            f'{host_spec.dotted(check_library.MIN_QEMU)}',
            'upgrade QEMU')
    daemon = link.facts.libvirt_version
    return _HYPERVISOR.ok(
        f'{kind} {version}, libvirt there {host_spec.dotted(daemon)}')


def events(link: Link) -> checks.Check:
    """Check that changes of guests are reported."""
    if link.status.events:
        return _EVENTS.ok('lifecycle events arrive')
    return _EVENTS.warning(
        f'{link.status.uri} reports no events: changes of guests are seen '
        'by the audit only',
        'use a URI whose driver has events, or shorten '
        '[nova_libvirt_driver] audit_interval')


def keepalive(link: Link) -> checks.Check:
    """Check that a dead connection is noticed."""
    if link.status.keepalive:
        return _KEEPALIVE.ok('libvirt answers keepalive messages')
    if is_in_process(link.status.uri):
        return _KEEPALIVE.skipped('in this process, no daemon to lose')
    return _KEEPALIVE.warning(
        'a daemon that hangs is noticed at the next call only',
        'upgrade the libvirt daemon, or set its keepalive_interval')


def event_loop(*, served: bool = False) -> checks.Check:
    """Check that the thread that delivers events is alive.

    :param served: it is in another process
    """
    if served:
        return _LOOP.skipped('that of the service')
    for thread in threading.enumerate():
        if thread.name.startswith(_LOOP_THREAD) and thread.is_alive():
            return _LOOP.ok('runs')
    return _LOOP.failure(
        'its thread does not run: no events, no keepalive',
        'start again; report it if it stays so')
