# SPDX-License-Identifier: Apache-2.0

"""Seeing a migration through whose guest runs on the other host already.

Some of its memory is here still, so neither copy is whole. When the two lose
each other, both wait, and libvirt lets them go on once they are told to.
"""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import dataclasses
import time

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.guest import migration
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import live_migration as migration_spec

LOG = logging.getLogger(__name__)

PATIENCE_S = 300.0
"""How long it is tried to mend one."""

_RETRY_S = 5.0
_LOOK_S = 1.0
_UNSEEN_S = 60.0
_ABORT_S = 60.0
_LEFT_S = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class PostCopy:
    """Waits for the rest of the memory, and mends what broke."""

    guests: guests_module.Guests
    ways: migration_spec.Ways

    def follow(
            self, instance: instance_spec.Instance,
            destination: migration_spec.Destination,
            give_way: Callable[[], object], *,
            patience_s: float = PATIENCE_S) -> bool:
        """Wait until a guest is whole, on whichever host.

        Returns at once for one that has not been in post-copy.

        :param give_way: raises GaveWay when the wait is to end
        :param patience_s: how long to try to mend it, at least once; nor is
            one waited for that goes on, if that is no time at all
        :returns: whether it is, or its QEMU on the other host is dead
        """
        same = _Same()
        while True:
            reason = self._reason(instance)
            if reason is not None and reason not in migration.POST_COPY:
                return True
            lasted_s = same.lasted_s(reason)
            if reason == migration.BROKEN:
                if self._is_down(instance, destination.uri):
                    return True
                if not self._goes_on(instance, destination, give_way) and (
                        lasted_s >= patience_s):
                    return False
            elif reason is None:
                if lasted_s >= min(_UNSEEN_S, patience_s):
                    return True
            elif not patience_s:
                return False
            if not _pause(give_way, _RETRY_S if (
                    reason == migration.BROKEN) else _LOOK_S):
                return False

    def end_left(
            self, guest: handle.Guest, values: Mapping[str, object]) -> None:
        """End what a killed process has begun: mend it, or abort it.

        One that goes on again is not waited for: libvirt sees to it, and the
        instance can be deleted meanwhile.

        :param values: of its entry in the journal
        :raises MigrationUnclear: it goes on, as one in post-copy does
        """
        destination = migration_spec.Destination(
            uri=str(values['uri']),
            migrate_uri=str(values.get('migrate_uri', '')))
        until = time.monotonic() + _LEFT_S

        def give_way() -> None:
            if time.monotonic() >= until:
                raise exception.GaveWay(
                    tried='wait for its memory', instance=guest.uuid,
                    state='in post-copy')

        if not self.follow(guest, destination, give_way, patience_s=0.0):
            raise exception.MigrationBroken(
                instance=guest.uuid, destination=destination.uri,
                reason='it follows still, or waits for that')
        # It has gone when the rest has followed.
        with contextlib.suppress(exception.InstanceNotFound):
            # Libvirt keeps the job of one whose QEMU there is dead.
            if guest.state().reason not in migration.POST_COPY:
                self._abort(guest, destination.uri)

    def is_let_go(self, guest: handle.Guest) -> bool:
        """Say whether libvirt is done with what is left of a guest here.

        It has a job with what comes, which stands still as well. It also
        keeps that of one that broke.
        """
        job = self.guests.migration(guest).job()
        return job is migration.Job.NONE or job is migration.Job.OUT and (
            guest.state().reason == migration.BROKEN)

    def _abort(self, guest: handle.Guest, uri: str) -> None:
        job = self.guests.migration(guest)

        def goes_on() -> bool:
            # Libvirt does not say what it is about with one that is down.
            return migration.is_up(guest.state()) and (
                job.job() is migration.Job.OUT)

        if not goes_on():
            return
        try:
            job.abort()
        except exception.DriverError as error:
            LOG.info('The migration is not aborted: %s', error,
                     instance={'uuid': guest.uuid})
        deadline = time.monotonic() + _ABORT_S
        while goes_on():
            if time.monotonic() >= deadline:
                raise exception.MigrationUnclear(
                    instance=guest.uuid, destination=uri,
                    reason='its migration goes on')
            time.sleep(_LOOK_S)

    def _reason(self, instance: instance_spec.Instance) -> str | None:
        """Return libvirt's word for why the domain here is as it is.

        :returns: empty without a domain; None when that cannot be seen
        """
        try:
            guest = self.guests.find_or_none(instance)
            return '' if guest is None else guest.state().reason
        except exception.InstanceNotFound:
            return ''
        except exception.DriverError as error:
            LOG.debug('The guest cannot be looked at: %s', error,
                      instance={'uuid': instance.uuid})
            return None

    def _is_down(self, instance: instance_spec.Instance, uri: str) -> bool:
        """Say whether no QEMU is there that could take the rest."""
        try:
            return not migration.is_up(
                self.guests.migration(instance).state_at(uri))
        except exception.DriverError as error:
            LOG.debug('The other host cannot be asked: %s', error,
                      instance={'uuid': instance.uuid})
            return False

    def _goes_on(
            self, instance: instance_spec.Instance,
            destination: migration_spec.Destination,
            give_way: Callable[[], object]) -> bool:
        """Have one that broke go on; return when that has ended.

        :returns: whether it did
        """
        run = self.guests.migration(instance).start(
            migration.Request(
                destination=destination, resumes=True,
                ways=migration_spec.Ways(
                    post_copy=True, native_tls=self.ways.native_tls)),
            lambda: None)
        while not run.ended:
            if not _pause(give_way, _LOOK_S):
                return False
        if run.error is None:
            LOG.info('The rest of the memory of the guest has followed it to '
                     '%s', destination.uri, instance={'uuid': instance.uuid})
        else:
            LOG.info('The migration does not go on yet: %s', run.error,
                     instance={'uuid': instance.uuid})
        return run.error is None


class _Same:
    """Knows for how long something has been what it is."""

    def __init__(self) -> None:
        self._what: object = self
        self._since = 0.0

    def lasted_s(self, what: object) -> float:
        """Take note of what it is; return for how long it has been that."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._since = what, now
        return now - self._since


def _pause(give_way: Callable[[], object], pause_s: float) -> bool:
    """Wait a moment; say whether to go on."""
    until = time.monotonic() + pause_s
    try:
        while time.monotonic() < until:
            give_way()
            time.sleep(min(_LOOK_S, pause_s))
    except (exception.GaveWay, KeyboardInterrupt):
        return False
    return True
