# SPDX-License-Identifier: Apache-2.0

"""An operation that is prepared by one process and decided by another.

It is what a live migration does at the destination, in small: a domain is
defined beside a file, and waits to be started, or to go again. Run as
``python -m tests.functional.prepared``, with JSON on its input.
"""

from collections.abc import Callable
import json
import os
import pathlib
import sys
from typing import Any

from nova_libvirt_driver.guest import guests as guests_module
from nova_libvirt_driver.guest import reach
from nova_libvirt_driver.operations import recovery
from nova_libvirt_driver.operations.steps import clean_ups as clean_ups_module
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.operations.steps import undo as undo_module
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from nova_libvirt_driver.testing import fake_progress
from tests import guests
from tests import owners

_COMMITTING = 'committing'


class Prepared:
    """Prepares a guest, and leaves open whether it is to be.

    Steps of the preparation: note it in the journal; write a file; define
    the domain; leave it open. Whoever commits it starts the guest and removes
    the file; whoever rolls it back removes both. When nobody does in time,
    the guest that is up by then decides, and so it does before.
    """

    OPERATION = 'prepare'

    def __init__(
            self, guests: guests_module.Guests, folder: str,
            owner: journal_module.Owner = owners.HERE) -> None:
        self.journal = owners.journal(folder, owner)
        self.clean_ups = clean_ups_module.CleanUps(
            self.journal, guests, lambda instance: ())
        self.clean_ups.register(self.OPERATION, self)
        self.exclusive = exclusive_module.Exclusive(
            self.journal.folder, owner.host, settle=self.clean_ups.settle)
        self._guests = guests
        self._file = pathlib.Path(folder, 'prepared')

    def recovery(self) -> recovery.Recovery:
        """Return what cleans up after it."""
        return recovery.Recovery(
            self.journal, self.clean_ups, self.exclusive, lambda: None)

    def prepare(
            self, instance: instance_spec.Instance, xml: str,
            timeout_s: float, progress: ports.Progress) -> None:
        with (self.exclusive.hold(
                instance, self.OPERATION, progress) as watched,
              undo_module.Undo(self.OPERATION, instance) as undo):
            watched.step('begin')
            entry = undo.begin(self.journal)
            watched.step('file')
            undo.add('remove the file', self._remove_file)
            self._file.touch()
            watched.step('define')
            undo.add('remove the domain',
                     lambda: self._guests.remove(instance))
            self._guests.define(xml, instance)
            watched.step('leave open')
            undo.hand_over(
                entry, 'prepared', timeout_s, file=str(self._file))
            watched.step('end')

    def commit(
            self, instance: instance_spec.Instance,
            progress: ports.Progress) -> None:
        self._decide(instance, progress, _COMMITTING)

    def roll_back(
            self, instance: instance_spec.Instance,
            progress: ports.Progress) -> None:
        self._decide(instance, progress, 'rolling back')

    def is_decided(self, entry: journal_module.Entry) -> bool:
        guest = self._guests.find_or_none(_instance(entry))
        return guest is not None and guest.state().power in reach.UP

    def clean_up(
            self, entry: journal_module.Entry,
            attachments: Callable[[], ports.Attachments]) -> None:
        self._finish(entry)

    def _finish(self, entry: journal_module.Entry) -> None:
        if entry.note.phase == _COMMITTING or self.is_decided(entry):
            guest = self._guests.find_or_none(_instance(entry))
            if guest is not None and guest.state().power in reach.DOWN:
                guest.start()
        else:
            self._guests.remove(_instance(entry))
        self._remove_file()

    def _decide(
            self, instance: instance_spec.Instance, progress: ports.Progress,
            phase: str) -> None:
        with (self.exclusive.hold(
                instance, phase, progress,
                continuing=self.OPERATION) as watched,
              self.journal.picked_up(
                  instance.uuid, self.OPERATION) as entry):
            watched.step('pick up')
            entry.advance(phase)
            watched.step('decide')
            self._finish(entry)
            watched.step('end')
            entry.end()

    def _remove_file(self) -> None:
        self._file.unlink(missing_ok=True)


def _instance(entry: journal_module.Entry) -> instance_spec.InstanceRef:
    return instance_spec.InstanceRef(entry.note.uuid, entry.note.name)


def main() -> int:
    """Do what the input says; there is no such step: 0."""
    wanted: dict[str, Any] = json.load(sys.stdin)
    instance = instance_spec.InstanceRef(wanted['uuid'], 'one')
    progress = fake_progress.KillingProgress(wanted['step'])
    with guests.GuestsFixture(wanted['uri']) as reached:
        operation = Prepared(reached.guests, wanted['folder'])
        if wanted['verb'] == 'prepare':
            operation.prepare(
                instance, wanted['xml'], wanted['timeout_s'], progress)
        elif wanted['verb'] == 'commit':
            operation.commit(instance, progress)
        else:
            operation.roll_back(instance, progress)
    # Threads of libvirt's may outlive it, and are of no interest.
    sys.stdout.flush()
    os._exit(0)


if __name__ == '__main__':
    sys.exit(main())
