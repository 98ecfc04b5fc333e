# SPDX-License-Identifier: Apache-2.0

"""What ``doctor`` looks at, and in which order.

The connection is opened once, read-only; a second one only to see whether
writing would be allowed. Every check is run on its own, so that one that
fails, or hangs, hides no other.
"""

from collections.abc import Callable
from collections.abc import Iterator
import dataclasses
from typing import Any

from oslo_config import cfg

from nova_libvirt_driver.cli import service_check
from nova_libvirt_driver.conf import monitoring
from nova_libvirt_driver.host import check_connection
from nova_libvirt_driver.host import check_guest
from nova_libvirt_driver.host import check_library
from nova_libvirt_driver.host import check_machine
from nova_libvirt_driver.host import checks

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
    status_socket: str = ''
    """Where the running service says how it is; empty for nowhere."""


def case(conf: cfg.ConfigOpts) -> Case:
    """Return the case that the configuration describes."""
    virt_type = conf.libvirt.virt_type
    return Case(
        conf.host, conf.my_ip,
        conf.libvirt.connection_uri or _default_uri(virt_type),
        virt_type, conf.instances_path, conf.state_path,
        conf.nova_libvirt_driver.connect_timeout + _GRACE_S,
        monitoring.status_socket(conf))


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

    def run(self) -> Iterator[checks.Check]:
        """Yield the outcome of each check as it is known."""
        found = check_library.versions()
        yield check_library.binding(found)
        yield check_library.library(found)
        yield check_connection.transport(self._about.uri)
        yield self._reached(installed=not found.problem)
        yield from self._connection()
        yield from self._guests()
        yield self._bounded(
            checks.Topic('qemu-img'),
            lambda: check_library.qemu_img(self._hypervisor()))
        yield from self._machine()
        yield self._bounded(
            service_check.TOPIC,
            lambda: service_check.service(self._about.status_socket))

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
                driver._get_connection().getCapabilities())
        finally:
            driver.cleanup_host(self._about.host)
        return _REACH.ok(f'{facts.uri} answers')

    def _connection(self) -> Iterator[checks.Check]:
        for name, check in (
                ('hypervisor', check_connection.hypervisor),
                ('events', check_connection.events),
                ('keepalive', check_connection.keepalive),
                ('event loop', lambda link: check_connection.event_loop())):
            yield self._on_link(checks.Topic(name), check)
        yield self._on_link(_WRITE, lambda link: self._write())

    def _write(self) -> checks.Check:
        driver = self._open_driver(False)
        try:
            driver._get_connection()
        finally:
            driver.cleanup_host(self._about.host)
        return _WRITE.ok('reading and writing')

    def _guests(self) -> Iterator[checks.Check]:
        virt_type = self._about.virt_type
        for name, check in (
                ('emulator', lambda link: check_guest.emulator(
                    link, virt_type)),
                ('acceleration', lambda link: check_guest.acceleration(
                    link, virt_type)),
                ('confinement', check_guest.confinement)):
            yield self._on_link(checks.Topic(name), check)

    def _machine(self) -> Iterator[checks.Check]:
        about = self._about
        for name, check in (
                ('instances_path', lambda: check_machine.instances_path(
                    about.instances_path)),
                ('state_path', lambda: check_machine.state_path(
                    about.state_path)),
                ('host name', lambda: check_machine.host_name(about.host)),
                ('my_ip', lambda: check_machine.my_ip(about.my_ip)),
                ('clock', check_machine.clock)):
            yield self._bounded(checks.Topic(name), check)

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
