# SPDX-License-Identifier: Apache-2.0

"""The volumes of one guest, as something that it is connected to."""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import dataclasses
from typing import Any

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import host as host_module

LOG = logging.getLogger(__name__)

NoteLeft = Callable[[instance_spec.Instance, dict[str, Any]], None]
"""Remembers a volume from which the host could not be disconnected, so that
it is tried again."""


class Volumes:
    """Implements ``ports.Attachment`` for the volumes of one instance.

    The host is connected in :meth:`prepare`, because the definition of the
    guest names the devices, and QEMU opens them when the guest starts.

    :param connector: with the rights of the caller of the verb
    :param keep_secrets: passphrases stay in libvirt when it is disconnected
    :param force: the host is disconnected also when data that were not
        written yet are lost
    :param own: only those are disconnected that this driver has connected
    """

    name = 'volumes'

    def __init__(
            self, host: host_module.HostVolumes,
            instance: instance_spec.Instance,
            volumes: Sequence[volume_spec.Volume],
            connector: ports.VolumeConnector, note_left: NoteLeft, *,
            keep_secrets: bool = False, force: bool = True,
            own: bool = False) -> None:
        self.missing: list[volume_spec.Volume] = []
        """Those without which the guest was prepared."""
        self.own = own
        self.is_fleeting = all(
            host.has_part(volume.info) is False for volume in volumes)
        """Whether it is certain that the host keeps nothing of them itself."""
        self._host = host
        self._instance = instance
        self._volumes = volumes
        self._connector = connector
        self._note_left = note_left
        self._keep_secrets = keep_secrets
        self._force = force
        self._added: list[volume_spec.Volume] = []

    def prepare(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        """Connect the host, and return the guest with its volumes.

        May take minutes.

        :raises VolumeFailure: a volume that is required cannot be connected,
            or the device is that of another volume
        """
        self.missing = []
        if not self._volumes and not spec.storage.volumes:
            return spec
        uses = self._host.look()
        disks = [disk for volume in self._volumes
                 if (disk := self._connected(volume, uses)) is not None]
        return dataclasses.replace(spec, storage=dataclasses.replace(
            spec.storage, volumes=tuple(disks)))

    def connect(self) -> contextlib.AbstractContextManager[bool]:
        """Let the guest be started; there is nothing to wait for."""
        return contextlib.nullcontext(False)

    def revert(self) -> None:
        """Disconnect what this object has connected."""
        self._disconnect(self._added, keep_secrets=False)
        self._added = []

    def disconnect(self) -> None:
        """Disconnect all volumes.

        By force, one of which the host cannot be disconnected now is
        remembered, and tried again until it can.

        :raises StorageFailure: it cannot be remembered either
        :raises VolumeFailure: without force, the host is connected still
        """
        self._disconnect(self._volumes, keep_secrets=self._keep_secrets,
                         force=self._force)

    def extend(self, size_bytes: int) -> int:
        """Let the host see that the one volume has grown; see the port."""
        volume, = self._volumes
        return self._host.extend(volume.info, self._connector, size_bytes)

    def _connected(
            self, volume: volume_spec.Volume,
            uses: host_module.Uses) -> disk_spec.DiskSpec | None:
        try:
            if volume not in self._added and not self._host.is_user(
                    volume.info, self._instance, uses):
                # Before it: what fails half-way is disconnected as well.
                self._added.append(volume)
            return self._host.connect(
                volume, self._instance, self._connector, uses)
        except exception.VolumeFailure as error:
            if volume.required:
                raise
            LOG.error('The guest starts without one of its volumes: %s',
                      error, instance={'uuid': self._instance.uuid})
        self.missing.append(volume)
        if volume in self._added:
            self._added.remove(volume)
            self._disconnect([volume], keep_secrets=False)
        return None

    def _disconnect(
            self, volumes: Sequence[volume_spec.Volume], *,
            keep_secrets: bool, force: bool = True) -> None:
        uses = self._host.look()
        with contextlib.ExitStack() as stack:
            # In reverse order, and each whatever becomes of the others.
            for volume in volumes:
                stack.callback(
                    self._end, volume, uses, keep_secrets, force)

    def _end(
            self, volume: volume_spec.Volume, uses: host_module.Uses,
            keep_secrets: bool, force: bool) -> None:
        try:
            # What stayed here would be taken for the next volume.
            self._host.disconnect(
                volume.info, self._instance, self._connector, uses,
                force=force, keep_secret=keep_secrets, own=self.own)
        except exception.VolumeFailure as error:
            if not force:
                raise
            LOG.warning('The host stays connected to a volume, will retry: '
                        '%s', error, instance={'uuid': self._instance.uuid})
            self._note_left(self._instance, volume.info)
