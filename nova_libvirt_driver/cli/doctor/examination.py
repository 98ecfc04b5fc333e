# SPDX-License-Identifier: Apache-2.0

"""What ``doctor`` looks at, and in which order.

The connection is opened once, read-only; a second one only to see whether
writing would be allowed. Every check is run on its own, so that one that
fails, or hangs, hides no other.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
import os
from typing import Any

from oslo_config import cfg

from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.cli.doctor import check_daemons
from nova_libvirt_driver.cli.doctor import check_guest
from nova_libvirt_driver.cli.doctor import check_leftovers
from nova_libvirt_driver.cli.doctor import check_library
from nova_libvirt_driver.cli.doctor import check_machine
from nova_libvirt_driver.cli.doctor import check_service
from nova_libvirt_driver.cli.doctor import check_user
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.compute import kvm
from nova_libvirt_driver.conf import monitoring
from nova_libvirt_driver.host import host_capabilities
from nova_libvirt_driver.host import versions
from nova_libvirt_driver.storage import journal
from nova_libvirt_driver.xmlmodel import capabilities

_GRACE_S = 2.0
_REACH = checks.Topic('connection')
_WRITE = checks.Topic('permission')

OnLink = Callable[[check_connection.Link], checks.Check]


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """The host as it is configured."""

    host: str
    my_ip: str
    uri: str
    virt_type: str
    instances_path: str
    state_path: str
    timeout_s: float
    """How long one check may take."""
    tool_sandbox: str = 'preferred'
    """The option of that name."""
    console_log_max_mib: int = 2
    status_socket: str = ''
    """Where the running service says how it is; empty for nowhere."""
    served: bool = False
    """The hypervisor is asked through the running service."""
    config_files: tuple[str, ...] = ()
    """The files and folders of options that were read."""


def case(conf: cfg.ConfigOpts, *, served: bool = False) -> Case:
    """Return the case that the configuration describes.

    :param served: the running service is asked
    """
    virt_type = conf.libvirt.virt_type
    return Case(
        conf.host, conf.my_ip,
        conf.libvirt.connection_uri or _default_uri(virt_type),
        virt_type, conf.instances_path, conf.state_path,
        conf.nova_libvirt_driver.connect_timeout + _GRACE_S,
        conf.nova_libvirt_driver.image_tool_sandbox,
        conf.nova_libvirt_driver.console_log_max_size,
        monitoring.status_socket(conf), served,
        (*conf.config_file, *conf.config_dir))


def _files(paths: tuple[str, ...]) -> checks.Check:
    topic = checks.Topic('configuration')
    if paths:
        return topic.ok(', '.join(paths))
    return topic.ok(
        'no file: neither ~/.nova-libvirt/nova-libvirt.conf nor '
        '/etc/nova-libvirt/nova-libvirt.conf is there')


def _default_uri(virt_type: str) -> str:
    try:
        from nova_libvirt_driver.connection import settings
    except ImportError:
        # Without the binding; the first check says so.
        return ''
    return settings.default_uri(virt_type)


class Examination:
    """One look at a host.

    :param open_driver: returns a driver that connects on demand; takes
        whether it is to be read-only
    """

    def __init__(
            self, about: Case, open_driver: Callable[[bool], Any]) -> None:
        self._about = about
        self._open_driver = open_driver
        self._link: check_connection.Link | None = None
        self._domains: set[str] | None = None

    def run(self) -> Iterator[checks.Check]:
        """Yield the outcome of each check as it is known."""
        found = versions.installed()
        yield check_library.binding(found)
        yield check_library.library(found)
        yield _files(self._about.config_files)
        yield check_connection.transport(self._about.uri)
        yield self._bounded(
            checks.Topic('daemon'),
            lambda: check_daemons.daemon(self._about.uri))
        yield self._reached(installed=not found.problem)
        yield from self._connection()
        yield self._bounded(
            checks.Topic('virtlogd'),
            lambda: check_daemons.log_daemon(self._about.uri))
        yield self._bounded(
            checks.Topic('console logs'), lambda: check_daemons.console_logs(
                self._about.uri, self._about.console_log_max_mib))
        yield from self._guests()
        yield self._bounded(
            checks.Topic('qemu-img'),
            lambda: check_library.qemu_img(self._hypervisor()))
        yield self._bounded(
            check_library.SANDBOX,
            lambda: check_library.sandbox(self._about.tool_sandbox))
        yield from self._machine()
        yield self._bounded(
            check_leftovers.TOPIC, lambda: check_leftovers.leftovers(
                self._about.instances_path,
                os.path.join(self._about.state_path, 'images'),
                self._about.host, self._owner(), self._domains))
        yield self._bounded(
            check_service.TOPIC,
            lambda: check_service.service(self._about.status_socket))

    def _reached(self, *, installed: bool) -> checks.Check:
        if not installed:
            return _REACH.skipped('not possible without the binding')
        return self._bounded(_REACH, self._reach)

    def _reach(self) -> checks.Check:
        driver = self._open_driver(True)
        try:
            facts = driver.get_host_facts()
            self._link = check_connection.Link(
                facts, driver.connection_status(),
                capabilities.Capabilities.parse(driver.get_capabilities()))
        finally:
            driver.cleanup_host(self._about.host)
        way = ' through the service' * self._about.served
        return _REACH.ok(f'{facts.uri} answers{way}')

    def _connection(self) -> Iterator[checks.Check]:
        for name, check in (
                ('hypervisor', check_connection.hypervisor),
                ('events', check_connection.events),
                ('keepalive', check_connection.keepalive),
                ('event loop', lambda link: check_connection.event_loop(
                    served=self._about.served))):
            yield self._on_link(checks.Topic(name), check)
        yield self._on_link(_WRITE, lambda link: self._write())

    def _write(self) -> checks.Check:
        driver = self._open_driver(False)
        try:
            driver.get_host_facts()
        finally:
            driver.cleanup_host(self._about.host)
        return _WRITE.ok('reading and writing')

    def _guests(self) -> Iterator[checks.Check]:
        virt_type = self._about.virt_type
        for name, check in (
                ('emulator', lambda link: check_guest.emulator(
                    link, virt_type)),
                ('acceleration', lambda link: check_guest.acceleration(
                    link, virt_type, kvm.verdict)),
                ('confinement', check_guest.confinement),
                ('user', check_user.privileges),
                ("QEMU's group", lambda link: check_user.group(
                    link, virt_type)),
                ('guest disks', lambda link: self._guest_disks()),
                ('guest records', lambda link: self._guest_records())):
            yield self._on_link(checks.Topic(name), check)

    def _guest_disks(self) -> checks.Check:
        driver = self._open_driver(True)
        try:
            rows = driver.list_instance_summaries()
            if not sources.is_pretended(driver):
                self._domains = {row.uuid for row in rows}
            return check_guest.disks(rows)
        finally:
            driver.cleanup_host(self._about.host)

    def _guest_records(self) -> checks.Check:
        driver = self._open_driver(True)
        try:
            return check_guest.records(
                driver.list_instance_summaries(), self._about.instances_path,
                driver.get_domain_xml)
        finally:
            driver.cleanup_host(self._about.host)

    def _machine(self) -> Iterator[checks.Check]:
        about = self._about
        for name, check in (
                ('instances_path', lambda: check_machine.instances_path(
                    about.instances_path, self._qemu_uid())),
                ('state_path', lambda: check_machine.state_path(
                    about.state_path)),
                ('host name', lambda: check_machine.host_name(about.host)),
                ('my_ip', lambda: check_machine.my_ip(about.my_ip)),
                ('clock', check_machine.clock)):
            yield self._bounded(checks.Topic(name), check)

    def _qemu_uid(self) -> int | None:
        """Return the user that QEMU runs as on this machine, if known."""
        if self._link is None or check_connection.is_remote(
                self._about.uri):
            return None
        return host_capabilities.qemu_user(
            self._link.capabilities, self._about.virt_type)[0]

    def _owner(self) -> journal.Owner | None:
        return None if self._link is None else journal.Owner(
            self._about.host, self._link.facts.uri,
            self._link.capabilities.uuid or '')

    def _hypervisor(self) -> str:
        return self._link.facts.hypervisor_type if self._link else ''

    def _on_link(self, topic: checks.Topic, check: OnLink) -> checks.Check:
        link = self._link
        if link is None:
            return topic.skipped('libvirt cannot be reached')
        return self._bounded(topic, lambda: check(link))

    def _bounded(
            self, topic: checks.Topic,
            check: Callable[[], checks.Check]) -> checks.Check:
        return checks.run(topic, check, timeout_s=self._about.timeout_s)
