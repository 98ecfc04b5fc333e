# SPDX-License-Identifier: Apache-2.0

"""The record of what an instance was made from, beside its disks.

For a service that keeps no database: every verb that defines the domain again
reads it. A password that was only for the first boot is not in it.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import json

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import failure
from nova_libvirt_driver.storage import folder as folder_module

_VERSION = 1

# With injected files.
_MAX_BYTES = 64 << 20


class SpecRecords:
    """Keeps the records of all instances.

    :param host: name of this host
    """

    def __init__(self, folders: folder_module.Folders, host: str) -> None:
        self._folders = folders
        self._host = host

    def read(self, instance: instance_spec.Instance) -> guest_spec.GuestSpec:
        """Return what an instance was made from.

        :raises InstanceNotFound: there is no record
        :raises StorageFailure: it is damaged, or cannot be read
        """
        try:
            return read(self._folders.of(instance).spec)
        except FileNotFoundError:
            raise exception.InstanceNotFound(
                instance=instance.uuid, host=self._host) from None

    def current(self, guest: guest_spec.Described) -> guest_spec.GuestSpec:
        """Return what a guest is made from, as its caller or its record says.

        For callers that have its lock: the record of before may lack a
        device by now, or have one too many.

        :raises InstanceNotFound: its caller does not say, nor does a record
        :raises StorageFailure: the record is damaged, or cannot be read
        """
        return guest if isinstance(
            guest, guest_spec.GuestSpec) else self.read(guest)

    def find(
            self, instance: instance_spec.Instance
    ) -> guest_spec.GuestSpec | None:
        """Return what an instance was made from, None without a record.

        A record that cannot be read is none.
        """
        with contextlib.suppress(
                exception.InstanceNotFound, exception.StorageFailure):
            return self.read(instance)
        return None

    def features(
            self, instance: instance_spec.Instance
    ) -> device_spec.FeatureSpec:
        """Return what is recorded of a guest's features, else the default.

        :raises StorageFailure: the record is damaged, or cannot be read
        """
        try:
            return self.read(instance).features
        except exception.InstanceNotFound:
            return device_spec.FeatureSpec()

    def note_root_size(
            self, instance: instance_spec.Instance, size_gib: int) -> int:
        """Record another size of the root disk; return the former one."""
        former_gib = 0

        def change(spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
            nonlocal former_gib
            former_gib = spec.storage.root_gib
            return dataclasses.replace(spec, storage=dataclasses.replace(
                spec.storage, root_gib=size_gib))

        self.note(instance, change)
        return former_gib

    def note_display_name(
            self, instance: instance_spec.Instance, name: str) -> None:
        """Record another name of the instance."""
        self.note(instance, lambda spec: dataclasses.replace(
            spec, metadata=dataclasses.replace(
                spec.metadata, display_name=name)))

    def note(
            self, instance: instance_spec.Instance,
            change: Callable[[guest_spec.GuestSpec], guest_spec.GuestSpec],
    ) -> None:
        """Change the record of an instance that has one."""
        path = self._folders.of(instance).spec
        # Nova keeps the record of its own guests.
        with contextlib.suppress(FileNotFoundError):
            write(path, change(read(path)))


def write(path: str, spec: guest_spec.GuestSpec) -> None:
    """Write the record, or leave the one that was there.

    :raises StorageFailure: it cannot be written
    """
    atomic.write(path, dumps(spec).encode())


def read(path: str) -> guest_spec.GuestSpec:
    """Read a record.

    :raises FileNotFoundError: there is none
    :raises StorageFailure: it is damaged, or cannot be read
    """
    with failure.naming(f'the record {path} cannot be read', path,
                        but_for=(FileNotFoundError,)):
        return loads(records.read(path, max_bytes=_MAX_BYTES))


def dumps(spec: guest_spec.GuestSpec) -> str:
    """Return the text of a record."""
    if spec.config_drive is not None:
        # A drive that came ready-made may tell the password as well.
        spec = dataclasses.replace(spec, config_drive=dataclasses.replace(
            spec.config_drive, admin_password='', prebuilt={}))
    return json.dumps({
        'version': _VERSION,
        'guest': records.converter().unstructure(spec)}, indent=1)


def loads(text: bytes | str) -> guest_spec.GuestSpec:
    """Read the text of a record; what it lacks takes its default.

    :raises Unreadable: it is not a record
    """
    record = records.parse(text)
    if not isinstance(record.get('guest'), dict):
        raise records.Unreadable('it does not describe a guest')
    return records.structure(record['guest'], guest_spec.GuestSpec)
