# SPDX-License-Identifier: Apache-2.0

"""The record of what an instance was made from, beside its disks.

For a service that keeps no database: every verb that defines the domain again
reads it. A password that was only for the first boot is not in it. One that
is lost or damaged is rebuilt from the domain, as far as that says it.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import json
import os
import time

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import atomic
from nova_libvirt_driver.storage import failure
from nova_libvirt_driver.storage import folder as folder_module
from nova_libvirt_driver.storage import spec_recovery
from nova_libvirt_driver.xmlmodel import domain as domain_model

LOG = logging.getLogger(__name__)

_VERSION = 1

# With injected files.
_MAX_BYTES = 64 << 20


class SpecRecords:
    """Keeps the records of all instances.

    :param host: name of this host
    :param domain_xml: returns the XML of the domain of an instance, as it is
        defined; None for a service that has no need of records
    """

    def __init__(
            self, folders: folder_module.Folders, host: str,
            domain_xml: Callable[[instance_spec.Instance], str] | None = None,
    ) -> None:
        self._folders = folders
        self._host = host
        self._domain_xml = domain_xml

    def read(self, instance: instance_spec.Instance) -> guest_spec.GuestSpec:
        """Return what an instance was made from.

        Needs no lock and writes nothing: of a record that is lost or
        damaged, it returns what the domain says. So may be one that is only
        about to be written.

        :raises InstanceNotFound: there is no record, and cannot be one
        :raises StorageFailure: it is damaged, likewise, or of a later
            version, or cannot be read
        """
        return self._read(instance)[0]

    def _read(
            self, instance: instance_spec.Instance,
    ) -> tuple[guest_spec.GuestSpec, exception.DriverError | None]:
        """Return the same, and why the domain had to say it."""
        try:
            return read(self._folders.of(instance).spec), None
        except FileNotFoundError:
            lost: exception.DriverError = exception.InstanceNotFound(
                instance=instance.uuid, host=self._host)
        except exception.StorageFailure as error:
            if not _is_damaged(error):
                raise
            lost = error
        spec = self._recovered(instance)
        if spec is None:
            raise lost
        return spec, lost

    def _restored(
            self, instance: instance_spec.Instance) -> guest_spec.GuestSpec:
        """Return what an instance was made from; write a record that is lost.

        Only for who has its lock: :meth:`read` of another process may be
        between its domain and its record.
        """
        spec, lost = self._read(instance)
        if lost is not None:
            path = self._folders.of(instance).spec
            kept = ''
            # It can be made again the next time, too.
            with contextlib.suppress(exception.StorageFailure):
                if isinstance(lost, exception.StorageFailure):
                    kept = _set_aside(path)
                atomic.create(path, dumps(spec).encode())
            LOG.warning('The record %s was lost or damaged and is made again '
                        'from the domain, without what that does not say%s',
                        path, kept and f'; the damaged one is {kept}',
                        instance={'uuid': instance.uuid})
        return spec

    def current(self, guest: guest_spec.Described) -> guest_spec.GuestSpec:
        """Return what a guest is built from, as its caller or its record says.

        For callers that have its lock: the record of before may lack a
        device by now, or have one too many.

        :raises InstanceNotFound: its caller does not say, nor does a record
        :raises StorageFailure: the record is damaged, or cannot be read
        """
        return guest if isinstance(
            guest, guest_spec.GuestSpec) else self._restored(guest)

    def find(
            self, instance: instance_spec.Instance
    ) -> guest_spec.GuestSpec | None:
        """Return what an instance was made from, None without a record.

        A record that cannot be read is none, and libvirt is not asked.
        """
        with contextlib.suppress(
                FileNotFoundError, exception.StorageFailure):
            return read(self._folders.of(instance).spec)
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
        """Change the record of an instance that has one.

        For callers that have its lock. It is on the disk afterwards for a
        service that has need of it. For another one it is there for the next
        process only: after a loss of power that service alone says what its
        instances have, and a record that was damaged counts as none.
        """
        path, is_needed = (self._folders.of(instance).spec,
                           self._domain_xml is not None)
        try:
            write(path, change(self._restored(instance)), lasting=is_needed)
        except exception.InstanceNotFound:
            # Nova keeps the record of its own guests.
            return
        except exception.StorageFailure as error:
            if is_needed or not _is_damaged(error):
                raise
            LOG.warning('%s', error, instance={'uuid': instance.uuid})

    def _recovered(
            self, instance: instance_spec.Instance,
    ) -> guest_spec.GuestSpec | None:
        if self._domain_xml is None:
            return None
        folder = self._folders.of(instance)
        try:
            xml = self._domain_xml(instance)
        except exception.InstanceNotFound:
            return None
        # Of a rescued guest, the domain is another one for the time being.
        with contextlib.suppress(FileNotFoundError):
            xml = records.read(folder.unrescue_xml).decode()
        domain = domain_model.Domain.parse(xml)
        if not spec_recovery.is_recoverable(domain):
            return None
        return spec_recovery.spec(domain, folder)


def write(
        path: str, spec: guest_spec.GuestSpec, *,
        lasting: bool = True) -> None:
    """Write the record, or leave the one that was there.

    :param lasting: see :func:`atomic.write`
    :raises StorageFailure: it cannot be written
    """
    atomic.write(path, dumps(spec).encode(), lasting=lasting)


def read(path: str) -> guest_spec.GuestSpec:
    """Read a record.

    :raises FileNotFoundError: there is none
    :raises StorageFailure: it is damaged, of a later version, or cannot be
        read
    """
    with failure.naming(f'the record {path} cannot be read', path,
                        but_for=(FileNotFoundError,)):
        try:
            return loads(records.read(path, max_bytes=_MAX_BYTES))
        except records.OfLaterVersion as error:
            raise exception.StorageFailure(
                reason=f'the record {path} cannot be read: {error}',
                path=path, hint='install the later version of this package '
                'again that has written it') from error


def is_lost(path: str) -> bool:
    """Say whether there is no record, or one that makes no sense."""
    try:
        read(path)
    except FileNotFoundError:
        return True
    except exception.StorageFailure as error:
        return _is_damaged(error)
    return False


def _is_damaged(error: exception.StorageFailure) -> bool:
    return isinstance(error.__cause__, records.Unreadable) and not isinstance(
        error.__cause__, records.OfLaterVersion)


def _set_aside(path: str) -> str:
    """Keep a damaged record under another name, which is returned."""
    kept = f'{path}.damaged-{time.strftime("%Y%m%dT%H%M%S")}'
    with failure.naming(f'cannot rename {path}', path):
        os.rename(path, kept)
    return kept


def dumps(spec: guest_spec.GuestSpec) -> str:
    """Return the text of a record."""
    if spec.config_drive is not None:
        # A drive that came ready-made may tell the password as well.
        spec = dataclasses.replace(spec, config_drive=dataclasses.replace(
            spec.config_drive, admin_password='', prebuilt={}))
    return json.dumps({
        'version': _VERSION,
        'guest': records.converter().unstructure(spec)})


def loads(text: bytes | str) -> guest_spec.GuestSpec:
    """Read the text of a record; what it lacks takes its default.

    :raises OfLaterVersion: a later version of this package has written it
    :raises Unreadable: it is not a record
    """
    record = records.parse(text)
    version = record.get('version', _VERSION)
    if isinstance(version, int) and version > _VERSION:
        raise records.OfLaterVersion(f'its version is {version}')
    if not isinstance(record.get('guest'), dict):
        raise records.Unreadable('it does not describe a guest')
    return records.structure(record['guest'], guest_spec.GuestSpec)
