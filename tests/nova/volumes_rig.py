# SPDX-License-Identifier: Apache-2.0

"""What the tests of volumes under Nova share."""

import copy
import os
import pathlib
import tempfile
from typing import Any
import unittest
from unittest import mock

from nova import context as nova_context

from nova_libvirt_driver import conf
from nova_libvirt_driver.nova_plugin import brick
from nova_libvirt_driver.testing import fake_libvirt
from tests.nova import configured

CONF = configured.CONF
VOLUME = '6ca404f3-d844-4169-bb96-bc792f37de98'
OTHER = '0cecc618-a007-4bb6-91f7-462293fe2ac2'
SECRET = '0f5d7c1c-5b0f-4b67-9d43-6b8b4a4b6a11'


def connection(
        kind: str = 'iscsi', volume_id: str = VOLUME,
        **data: Any) -> dict[str, Any]:
    """Return connection information as the volume service gives it."""
    return {'driver_volume_type': kind, 'serial': volume_id,
            'data': {'volume_id': volume_id, 'target_lun': 1, **data}}


class Device(dict[str, Any]):
    """Stands for a block device of Nova's, which can be saved."""

    saved = 0

    def save(self) -> None:
        self.saved += 1


def device(
        info: dict[str, Any], name: str = '/dev/vdb',
        **fields: Any) -> Device:
    return Device(connection_info=info, mount_device=name, **fields)


class FakeBrick:
    """Stands for the connectors of os-brick; a device is a file."""

    def __init__(self, folder: str) -> None:
        self.made: list[dict[str, Any]] = []
        self.told: list[dict[str, Any]] = []
        """What each of its calls got."""
        self.calls: list[tuple[Any, Any, bool]] = []
        self.found: dict[str, Any] = {}
        self.error: Exception | None = None
        self.size: Any = 1 << 30
        self._folder = folder

    def factory(self, protocol: str, root_helper: str,
                **options: Any) -> 'FakeBrick':
        self.made.append({'protocol': protocol, **options})
        return self

    def connect_volume(self, properties: dict[str, Any]) -> dict[str, Any]:
        self.told.append(copy.deepcopy(properties))
        if self.error is not None:
            raise self.error
        path = pathlib.Path(self._folder, properties['volume_id'])
        path.touch()
        return {'path': os.fspath(path), **self.found}

    def disconnect_volume(
            self, properties: Any, device: Any, force: bool) -> None:
        self.calls.append((properties, device, force))
        self.told.append(copy.deepcopy(properties))
        if self.error is not None:
            raise self.error
        pathlib.Path(self._folder, properties['volume_id']).unlink(
            missing_ok=True)

    def extend_volume(self, properties: Any) -> Any:
        self.told.append(copy.deepcopy(properties))
        return self.size


class VolumesTestCase(unittest.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.hypervisor = fake_libvirt.FakeHypervisor()
        self.devices = self.folder()
        self.brick = FakeBrick(self.devices)
        self.metadata: dict[str, Any] = {}
        self.put('libvirt.openAuth', self.hypervisor.open_auth)
        self.put('os_brick.initiator.connector.InitiatorConnector.factory',
                 self.brick.factory)
        self.put('nova.volume.cinder.API', lambda: self)
        self.option('instances_path', self.folder())
        self.context = nova_context.RequestContext('u', 'p')
        self.connector = brick.Connector(self.context)

    def folder(self) -> str:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return folder.name

    def put(self, target: str, value: Any) -> None:
        """Put something in the place of what the network or root needs."""
        patch = mock.patch(target, value)
        patch.start()
        self.addCleanup(patch.stop)

    def option(self, name: str, value: Any, *group: str) -> None:
        conf.register_opts(CONF)
        CONF.set_override(name, value, *group)
        self.addCleanup(CONF.clear_override, name, *group)

    def get_volume_encryption_metadata(
            self, context: Any, volume_id: str) -> dict[str, Any]:
        return self.metadata
