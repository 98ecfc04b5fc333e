# SPDX-License-Identifier: Apache-2.0

"""The job of libvirt that moves a running guest to another host.

What is asked or changed while it goes on decides nothing: where the guest is
in the end is said by the states of its domains on both hosts.
"""

from collections.abc import Callable
import dataclasses
import enum
import time
from typing import Any
import uuid as uuid_module

import libvirt

from nova_libvirt_driver.calls import errors
from nova_libvirt_driver.calls import protocol
from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver.connection import link as link_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import reach as reach_module
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec

_FOREVER_S = 3e6
"""Longer than any migration takes, and short enough for every clock."""

_DOWNTIME_MAX_MS = 2_000_000
"""QEMU's own limit."""

BROKEN = 'postcopy-failed'
"""Why each of the two domains of a guest is as it is when its post-copy broke.

It is the end of a connection: between the two QEMUs, or between libvirt and
one of them, in which case the memory arrives all the same.
"""
POST_COPY = ('postcopy', BROKEN)
"""Why they are as they are while some of the memory is on either host."""

CANCELED = 'migration-canceled'
"""Why a guest runs here that libvirt let go on after the last pass.

So it does as well when only the last answer of the other host was lost, on
which the guest may run.
"""

MOVING = 'migration'
"""Why a guest stands still for the last pass of its migration."""

_SWITCH_S, _SWITCH_LOOK_S = 10.0, 0.1

_TOKEN = (libvirt.VIR_DOMAIN_METADATA_ELEMENT,
          'urn:nova-libvirt-driver:token')
"""What tells this domain from one of the same uuid on another host."""

_COMING = {'type': libvirt.VIR_DOMAIN_JOB_UNBOUNDED,
           'operation': libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN}

_BASE = (libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
         | libvirt.VIR_MIGRATE_PERSIST_DEST
         | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE)


class Job(enum.Enum):
    """What libvirt is about with a guest."""

    NONE = 'none'
    OUT = 'out'
    """It goes to another host."""
    IN = 'in'
    """It comes from another host."""
    OTHER = 'other'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One migration, as libvirt is to carry it out.

    :ivar xml: the domain on the other host
    :ivar persistent_xml: the same for its next start there
    :ivar disks: target devices of the disks whose bytes are to be copied
    :ivar whole: with what the disks are based on
    :ivar resumes: it goes on with one whose post-copy broke; XML and disks
        are as they were
    """

    destination: migration_spec.Destination
    ways: migration_spec.Ways
    xml: str = ''
    persistent_xml: str = ''
    disks: tuple[str, ...] = ()
    whole: bool = False
    resumes: bool = False

    def flags(self) -> int:
        """Return libvirt's flags."""
        ways = self.ways
        wanted = {
            libvirt.VIR_MIGRATE_TUNNELLED: ways.tunnelled,
            libvirt.VIR_MIGRATE_TLS: ways.native_tls,
            libvirt.VIR_MIGRATE_AUTO_CONVERGE: ways.auto_converge,
            libvirt.VIR_MIGRATE_POSTCOPY: ways.post_copy,
            libvirt.VIR_MIGRATE_POSTCOPY_RESUME: self.resumes,
            libvirt.VIR_MIGRATE_PARALLEL: ways.parallel_connections > 1,
            # Without a list libvirt would copy every disk, volumes as well.
            libvirt.VIR_MIGRATE_NON_SHARED_DISK: bool(
                self.disks and self.whole),
            libvirt.VIR_MIGRATE_NON_SHARED_INC: bool(
                self.disks and not self.whole),
            # Not NON_SHARED_SYNCHRONOUS_WRITES: QEMU 7.2 crashes when it is
            # told to end such a copy while the guest writes. Libvirt waits
            # for the copies before it hands a guest over.
            # Libvirt goes by the type of the file system and refuses many
            # that are shared; here it was proved.
            libvirt.VIR_MIGRATE_UNSAFE: self.destination.is_shared}
        flags: int = _BASE
        for flag, is_wanted in wanted.items():
            flags |= flag if is_wanted else 0
        return flags

    def parameters(self) -> dict[str, Any]:
        """Return libvirt's parameters."""
        there, ways = self.destination, self.ways
        asked: dict[str, Any] = {
            libvirt.VIR_MIGRATE_PARAM_DEST_XML: self.xml,
            libvirt.VIR_MIGRATE_PARAM_PERSIST_XML: self.persistent_xml,
            libvirt.VIR_MIGRATE_PARAM_BANDWIDTH: ways.bandwidth_mib_s,
            libvirt.VIR_MIGRATE_PARAM_URI: (
                '' if ways.tunnelled else there.migrate_uri),
            libvirt.VIR_MIGRATE_PARAM_DISKS_URI: (
                there.disks_uri if self.disks else ''),
            libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS: list(self.disks),
            libvirt.VIR_MIGRATE_PARAM_PARALLEL_CONNECTIONS: (
                ways.parallel_connections
                if ways.parallel_connections > 1 else 0)}
        return {name: value for name, value in asked.items() if value}


class Run:
    """The call that moves a guest, on a thread of its own."""

    def __init__(self) -> None:
        self.ended = False
        self.error: Exception | None = None

    @property
    def returned(self) -> bool | None:
        """What libvirt has said of the result; None when it said nothing."""
        if not self.ended or isinstance(
                self.error, exception.HypervisorUnavailable):
            return None
        return self.error is None


class Migration:
    """The move of one guest, on either host."""

    def __init__(self, link: link_module.Link, uuid: str) -> None:
        self._link = link
        self._reach = reach_module.Reach(link, uuid)

    def start(
            self, request: Request, ended: Callable[[], object]) -> Run:
        """Begin to move the guest; returns at once.

        :param ended: called when the call has ended, on its thread
        """
        run, uuid = Run(), self._reach.uuid
        uri, flags, parameters = (
            request.destination.uri, request.flags(), request.parameters())

        def migrate(connection: protocol.Connection) -> None:
            domain = connection.lookupByUUIDString(uuid)
            try:
                domain.migrateToURI3(uri, parameters, flags)
            except libvirt.libvirtError as error:
                # The daemon reports the loss of its connection to the other
                # daemon in the same words; libvirt here still answers.
                if errors.is_broken_link(error) and connection.isAlive():
                    raise exception.HypervisorUnavailable(
                        host=uri, reason=errors.text(error)) from error
                raise

        def move() -> None:
            tried = f'migrate the guest to {uri}'
            try:
                self._link.quarantine.check(uuid, tried)
                self._link.call(tried, migrate, instance=uuid,
                                timeout_s=_FOREVER_S)
            except Exception as error:
                run.error = error
            run.ended = True
            ended()

        runtime_module.PROCESS.thread('live-migration', move).start()
        return run

    def job(self) -> Job:
        """Say what libvirt is about with the guest."""
        stats = self._stats()
        if stats.get('type', 0) == libvirt.VIR_DOMAIN_JOB_NONE:
            return Job.NONE
        return {
            libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT: Job.OUT,
            libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN: Job.IN,
        }.get(stats.get('operation', 0), Job.OTHER)

    def figures(self) -> migration_spec.Figures | None:
        """Return how far the job is, None without one."""
        stats = self._stats()
        if stats.get('type', 0) == libvirt.VIR_DOMAIN_JOB_NONE:
            return None
        return migration_spec.Figures.read(stats)

    def set_downtime(self, milliseconds: int) -> None:
        """Let the guest stand still that long at the end."""
        wanted = min(milliseconds, _DOWNTIME_MAX_MS)
        self._reach.call(
            'set how long the guest may stand still',
            lambda domain: domain.migrateSetMaxDowntime(wanted, 0))

    def abort(self) -> None:
        """Cancel the migration; the guest stays, unless it has just moved.

        Waits up to ten seconds while the guest stands still for the last
        pass: QEMU 7.2 crashes if a migration is canceled while it hands its
        disks over (an assertion in bdrv_co_write_req_prepare).

        :raises DriverError: there is none, or it can no longer be canceled
        """
        deadline = time.monotonic() + _SWITCH_S
        while self._is_switching() and time.monotonic() < deadline:
            time.sleep(_SWITCH_LOOK_S)
        self._reach.call('abort the migration of the guest',
                         lambda domain: domain.abortJob())

    def _is_switching(self) -> bool:
        state = self._reach.state()
        return (state.power is instance_spec.PowerState.PAUSED
                and state.reason == MOVING)

    def start_post_copy(self) -> None:
        """Let the guest run on the other host from now on.

        :raises LibvirtFailure: that is not possible
        """
        self._reach.call('switch the migration to post-copy',
                         lambda domain: domain.migrateStartPostCopy(0))

    def state_at(self, uri: str) -> reach_module.GuestState | None:
        """Say how the domain of the guest is on another host.

        :returns: None when there is none
        :raises HypervisorUnavailable: that host cannot be asked
        """
        uuid = self._reach.uuid

        def look(
                connection: protocol.Connection
        ) -> reach_module.GuestState | None:
            try:
                return reach_module.GuestState.of(
                    connection.lookupByUUIDString(uuid))
            except libvirt.libvirtError as error:
                if errors.is_not_found(error):
                    return None
                raise

        return self._link.look_elsewhere(
            uri, 'see whether the guest has arrived', look)

    def leads_here(self, uri: str) -> bool:
        """Say whether the domain of the guest at a URI is the one here.

        It is when it has a token that is written into the metadata here, and
        removed again. For a guest that is not up.

        :raises DriverError: either of them cannot be reached
        """
        uuid, token = self._reach.uuid, uuid_module.uuid4().hex

        def look(connection: protocol.Connection) -> bool:
            try:
                return token in connection.lookupByUUIDString(uuid).metadata(
                    *_TOKEN, libvirt.VIR_DOMAIN_AFFECT_CONFIG)
            except libvirt.libvirtError as error:
                if errors.is_not_found(error) or error.get_error_code() == (
                        libvirt.VIR_ERR_NO_DOMAIN_METADATA):
                    return False
                raise

        self._write_token(f'<token>{token}</token>')
        try:
            return self._link.look_elsewhere(
                uri, 'see whether the guest there is this one', look)
        finally:
            self._write_token(None)

    def _write_token(self, text: str | None) -> None:
        kind, namespace = _TOKEN
        self._reach.call(
            'mark the guest', lambda domain: domain.setMetadata(
                kind, text, 'token', namespace,
                libvirt.VIR_DOMAIN_AFFECT_CONFIG))

    def _stats(self) -> dict[str, Any]:
        return self._reach.call('ask for the job of the guest', _job_stats)


def _job_stats(domain: protocol.Domain) -> dict[str, Any]:
    try:
        return domain.jobStats(0)
    except libvirt.libvirtError as error:
        # It tells of a migration on the host that is left only.
        if error.get_error_code() == libvirt.VIR_ERR_OPERATION_UNSUPPORTED:
            return _COMING
        raise


def is_up(state: reach_module.GuestState | None) -> bool:
    """Say whether there is a domain, and it has a process."""
    return state is not None and state.power in reach_module.UP


def runs(state: reach_module.GuestState | None) -> bool:
    """Say whether the guest runs."""
    return state is not None and (
        state.power is instance_spec.PowerState.RUNNING)
