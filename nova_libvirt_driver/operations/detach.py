# SPDX-License-Identifier: Apache-2.0

"""Taking a disk or an interface from a guest that is there."""

from concurrent import futures
import threading

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import device as device_module
from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import unplug as unplug_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)


class Detach:
    """Takes devices from guests.

    Steps: note in the journal what is about to go; take the device out of
    the guest's definition; ask the guest for it, and wait until it has let
    go; disconnect it from the host; take it out of the record.

    When the guest does not let go, or its power is to be cut meanwhile, what
    the host has for the device stays, and so does the record. A detach that
    completes later is taken note of, also by another process, and when the
    guest stops. Who asks for one that is under way gets the result of that
    one.

    A guest that is suspended or rescued would have the device again with its
    end, so it is refused; or it is left in the journal until then, for a
    caller to whom the device is gone in any case.
    """

    OPERATION = 'detach'

    def __init__(
            self, guests: guests_module.Guests,
            unplug: unplug_module.Unplug,
            exclusive: exclusive_module.Exclusive,
            journal: journal_module.Journal) -> None:
        self._guests = guests
        self._unplug = unplug
        self._exclusive = exclusive
        self._journal = journal
        self._lock = threading.Lock()
        self._running: dict[
            tuple[str, guest_spec.Key], futures.Future[None]] = {}

    def detach(
            self, instance: instance_spec.Instance, key: guest_spec.Key,
            attachments: ports.Attachments, progress: ports.Progress, *,
            later: bool = False) -> None:
        """Take a device away; see :meth:`base.ComputeDriver.detach_disk`."""
        with self._lock:
            running = self._running.get((instance.uuid, key))
            if running is None:
                mine = self._running[instance.uuid, key] = futures.Future()
        if running is not None:
            error = running.exception()
            if error is not None:
                raise exception.again(error) or error
            return
        try:
            self._detach(instance, key, attachments, progress, later=later)
        except BaseException as error:
            mine.set_exception(error)
            raise
        else:
            mine.set_result(None)
        finally:
            with self._lock:
                del self._running[instance.uuid, key]

    def _detach(
            self, instance: instance_spec.Instance, key: guest_spec.Key,
            attachments: ports.Attachments, progress: ports.Progress, *,
            later: bool) -> None:
        with self._exclusive.hold(
                instance, self.OPERATION, progress,
                wait_s=unplug_module.BUSY_S) as watched:
            watched.step('check')
            found = self._guests.read_or_none(instance)
            state, seen = '', None
            if found is not None:
                defined, now = map(domain_model.Domain.parse, found[1:])
                seen = device_module.both(key, defined, now)
                state = self._unplug.returns(
                    found.guest, key, runs=now.id is not None)
            if state and not later:
                raise exception.WrongState(
                    tried=f'detach {key}', instance=instance.uuid,
                    state=state)
            entry = self._journal.begin(
                self.OPERATION, uuid=instance.uuid, name=instance.name,
                **unplug_module.noted(key, attachments, lasting=bool(state)))
            if state:
                entry.release()
                LOG.info('%s will be detached later: the guest is %s', key,
                         state, instance={'uuid': instance.uuid})
                return

            def tick() -> None:
                watched.advance(0, 0)
                watched.give_way()

            try:
                if found is not None:
                    watched.step('detach')
                    self._unplug.from_guest(found.guest, key, tick, seen)
                watched.step('disconnect')
                self._unplug.from_host(instance, key, attachments)
                entry.end()
            except BaseException:
                self._unplug.leave(entry)
                raise
        LOG.info('%s detached', key, instance={'uuid': instance.uuid})
