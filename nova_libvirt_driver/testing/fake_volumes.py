# SPDX-License-Identifier: Apache-2.0

"""A connector that connects the host to files, for tests of volumes."""

from collections.abc import Callable
from collections.abc import Mapping
import contextlib
import os
from typing import Any

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import volume as volume_spec

POINTS = ('connect', 'connected', 'unlock')
"""What a start reaches."""

HEADER_BYTES = 4096
"""Of an encrypted volume."""

_SIZE_BYTES = 1 << 20


class FakeConnector:
    """Stands for ``ports.VolumeConnector``; connected is a file that exists.

    So the next process sees what a killed one has left. What the
    connection data call ``fake_path`` is another name of the file.

    :param folder: of those files, which stand for devices
    :param at: called with each point that is reached
    """

    def __init__(
            self, folder: str,
            at: Callable[[str], object] = lambda point: None, *,
            settings: volume_spec.VolumeSettings
            = volume_spec.VolumeSettings()) -> None:
        self.settings = settings
        self.passphrase: bytes | None = b'passphrase'
        self.forced: list[bool] = []
        self.told: list[dict[str, Any]] = []
        """Connection data by which it was disconnected."""
        self.refused: set[str] = set()
        """Ids of volumes from which the host cannot be disconnected."""
        self.broken: set[str] = set()
        """Ids of volumes that cannot be connected."""
        self.answers: dict[str, str] = {}
        """WWN that the device of a volume answers with."""
        self.names: dict[str, str] = {}
        """Names of files that are not the id of the volume."""
        self._folder = folder
        self.at = at

    def connected(self) -> list[str]:
        """Return the ids of the volumes to which the host is connected."""
        return sorted(os.listdir(self._folder))

    def properties(self) -> Mapping[str, Any]:
        """Return what a volume service asks for."""
        return {'host': 'fake'}

    def connect(self, info: dict[str, Any]) -> str:
        """Make the file, and write its path down."""
        volume_id = info['data']['volume_id']
        self.at('connect')
        if volume_id in self.broken:
            raise _failure(info, 'its path is down')
        path = self._path(volume_id)
        with contextlib.suppress(FileExistsError):
            if 'fake_path' in info['data']:
                os.link(info['data']['fake_path'], path)
            else:
                with open(path, 'xb') as file:
                    file.truncate(_SIZE_BYTES)
        info['data']['device_path'] = path
        self.at('connected')
        return self.answers.get(volume_id, '')

    def unlock(self, info: dict[str, Any]) -> bytes | None:
        """Return the passphrase."""
        self.at('unlock')
        return self.passphrase

    def disconnect(self, info: dict[str, Any], *, force: bool) -> None:
        """Remove the file."""
        self.forced.append(force)
        self.told.append(dict(info['data']))
        self.at('disconnect')
        volume_id = info['data']['volume_id']
        if volume_id in self.refused:
            raise _failure(info, 'its path is down')
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(volume_id))

    def extend(self, info: dict[str, Any]) -> int:
        """Return the size of the file, in bytes."""
        return os.stat(info['data']['device_path']).st_size

    def extend_decrypted(self, info: dict[str, Any], size_bytes: int) -> int:
        """Return the size without a header, if there is one."""
        return size_bytes - (
            HEADER_BYTES if info['data'].get('encrypted') else 0)

    def _path(self, volume_id: str) -> str:
        return os.path.join(
            self._folder, self.names.get(volume_id, volume_id))


def _failure(
        info: Mapping[str, Any], reason: str) -> exception.VolumeFailure:
    return exception.VolumeFailure(
        volume=info['data']['volume_id'], reason=reason)
