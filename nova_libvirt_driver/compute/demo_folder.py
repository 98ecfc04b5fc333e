# SPDX-License-Identifier: Apache-2.0

"""The temporary folder of a demonstration, and what a killed one has left.

The folder is locked for as long as its process lives, and holds a note of
the guest. One that is not locked, and belongs to this user, is cleaned up by
the next process that starts: first its guest, then the folder.
"""

from collections.abc import Iterator
import contextlib
import json
import os
import shutil
import stat
import tempfile

from oslo_log import log as logging

from nova_libvirt_driver import base
from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.spec import instance as instance_spec

LOG = logging.getLogger(__name__)

_PREFIX = 'nova-libvirt-demo-'
_NOTE = 'guest.json'
_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextlib.contextmanager
def made() -> Iterator[str]:
    """Make the folder of one demonstration; remove it at the end."""
    with contextlib.ExitStack() as stack:
        while True:
            path = tempfile.mkdtemp(prefix=_PREFIX)
            if _locked(path, stack):
                break
        try:
            yield path
        finally:
            # While it is locked: the guest may be there to stay.
            shutil.rmtree(path, ignore_errors=True)


def note(
        path: str, instance: instance_spec.Instance, uri: str,
        instances_path: str) -> None:
    """Write down the guest that is about to be made.

    :param uri: of the libvirt that has the guest
    """
    with open(os.path.join(path, _NOTE), 'w', encoding='utf-8') as file:
        json.dump({'uuid': instance.uuid, 'name': instance.name, 'uri': uri,
                   'instances_path': instances_path}, file)


def forget(path: str) -> None:
    """Forget the guest, which is there to stay."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(path, _NOTE))


def left() -> list[str]:
    """Return the folders that killed processes of this user have left."""
    found = []
    for path in _folders():
        with contextlib.ExitStack() as stack:
            if _locked(path, stack, shared=True):
                found.append(path)
    return found


def sweep(driver: base.ComputeDriver, instances_path: str) -> None:
    """Remove those folders, and their guests where this driver has them."""
    for path in _folders():
        with contextlib.ExitStack() as stack:
            if not _locked(path, stack):
                continue
            try:
                removed = _remove_guest(path, driver, instances_path)
            except exception.DriverError as error:
                LOG.warning('Cannot remove what a killed demonstration left '
                            'in %s, will retry: %s', path, error)
                continue
            if removed:
                shutil.rmtree(path, ignore_errors=True)
                LOG.info('Removed what a killed demonstration left in %s',
                         path)


def _remove_guest(
        path: str, driver: base.ComputeDriver, instances_path: str) -> bool:
    """Remove the guest of a demonstration; False if it is another's."""
    try:
        noted = records.load(os.path.join(path, _NOTE))
    except (OSError, ValueError):
        # It had none yet.
        return True
    if (noted.get('instances_path') != instances_path
            or noted.get('uri') != driver.get_host_facts().uri):
        return False
    uuid = str(noted.get('uuid'))
    if instance_spec.is_uuid(uuid):
        driver.destroy(instance_spec.InstanceRef(
            uuid, str(noted.get('name'))))
    return True


def _folders() -> list[str]:
    parent = tempfile.gettempdir()
    try:
        names = os.listdir(parent)
    except OSError:
        return []
    return sorted(os.path.join(parent, name) for name in names
                  if name.startswith(_PREFIX))


def _locked(
        path: str, stack: contextlib.ExitStack, *,
        shared: bool = False) -> bool:
    """Lock a folder; False when it is another user's, or gone."""
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return False
    stack.callback(os.close, descriptor)
    found = os.fstat(descriptor)
    return (locking.lock_open(descriptor, shared=shared)
            and found.st_uid == os.geteuid()
            and not stat.S_IMODE(found.st_mode) & 0o077
            and locking.is_at(descriptor, path))
