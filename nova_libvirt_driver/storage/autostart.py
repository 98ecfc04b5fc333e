# SPDX-License-Identifier: Apache-2.0

"""Which instances are to run by themselves, as files in their folders say.

For the stand-alone service; Nova knows by itself which of its instances are
to run.
"""

import contextlib
import os

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import failure
from nova_libvirt_driver.storage import folder


_LOST = b'lost'


class Autostart:
    """Marks instances, and knows which of them were stopped on purpose.

    The mark is a file. What is in it is the boot of the host in which the
    instance was stopped on purpose, and nothing if it was not, or a word for
    one that was lost.
    """

    def __init__(self, folders: folder.Folders) -> None:
        self._folders = folders

    def set(self, instance: instance_spec.Instance, *, enabled: bool) -> None:
        """Mark an instance, or take the mark away.

        :raises StorageFailure: it cannot be written, or has no folder
        """
        place = self._folders.of(instance)
        if not place.exists():
            raise exception.StorageFailure(
                reason=f'instance {instance.name} has no folder',
                path=place.path)
        if enabled and not self.is_set(instance):
            atomic.write(place.autostart, b'')
        elif not enabled:
            with failure.naming(
                    f'cannot remove {place.autostart}', place.path), (
                    contextlib.suppress(FileNotFoundError)):
                os.unlink(place.autostart)

    def is_set(self, instance: instance_spec.Instance) -> bool:
        """Say whether an instance has the mark."""
        return os.path.exists(self._folders.of(instance).autostart)

    def started(self, instance: instance_spec.Instance) -> None:
        """Note that an instance was started on purpose.

        :raises StorageFailure: it cannot be written
        """
        self._note(instance, b'')

    def stopped(self, instance: instance_spec.Instance) -> None:
        """Note that an instance was stopped on purpose.

        :raises StorageFailure: it cannot be written
        """
        self._note(instance, records.boot_id().encode())

    def lost(self, instance: instance_spec.Instance) -> None:
        """Note that a due instance has ended, or failed to start.

        Libvirt may call that destroyed, as if it were on purpose.

        :raises StorageFailure: it cannot be written
        """
        if self.is_due(instance):
            self._note(instance, _LOST)

    def is_lost(self, instance: instance_spec.Instance) -> bool:
        """Say whether an instance was lost, and was not started since."""
        return self._said(instance) == _LOST

    def is_due(self, instance: instance_spec.Instance) -> bool:
        """Say whether an instance that does not run is to be started.

        That is one with the mark, unless it was stopped on purpose since the
        host was booted.
        """
        return self._said(instance) not in (
            None, records.boot_id().encode())

    def _said(self, instance: instance_spec.Instance) -> bytes | None:
        try:
            return records.read(self._folders.of(instance).autostart)
        except (OSError, records.Unreadable):
            return None

    def _note(self, instance: instance_spec.Instance, said: bytes) -> None:
        path = self._folders.of(instance).autostart
        with contextlib.suppress(FileNotFoundError, records.Unreadable):
            if records.read(path) != said:
                atomic.write(path, said)
