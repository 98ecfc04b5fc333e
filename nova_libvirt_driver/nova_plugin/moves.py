# SPDX-License-Identifier: Apache-2.0

"""Servers that go to another host, come from one, or change their flavor."""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import os
import threading
from typing import Any

from nova.compute import task_states
from nova import exception as nova_exception
from nova.virt import driver as nova_driver
from nova.virt.libvirt.volume import remotefs
from oslo_concurrency import processutils
from oslo_log import log as logging
from oslo_utils import netutils
from oslo_utils import units
from oslo_utils import uuidutils

import nova.conf
from nova_libvirt_driver import base
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import errors
from nova_libvirt_driver.nova_plugin import firmware_state
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_WATCH_S = 1.0

_UP = (instance_spec.PowerState.RUNNING, instance_spec.PowerState.PAUSED)


class Remote:
    """Takes files to a host by ``[libvirt] remote_filesystem_transport``.

    Nova's own functions run ``ssh`` and ``scp``, or ``rsync``, as the user of
    this service: who may log in where is as with Nova's own driver, and the
    other host may have that one.

    :param host: address of the other host
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._files = remotefs.RemoteFilesystem()

    def open(self, folder: str) -> bool:
        """Make the folder; say whether it is the one that is here."""
        mark = os.path.join(folder, f'{uuidutils.generate_uuid()}.mark')
        with self._naming('make a folder'):
            self._files.create_dir(self._host, folder)
            self._files.create_file(self._host, mark)
        if os.path.exists(mark):
            # Here, as rsync gives the folder of a file that it removes the
            # mode of a temporary one, and QEMU could not get through.
            os.unlink(mark)
            return True
        with self._naming('remove a file'):
            self._files.remove_file(self._host, mark)
        return False

    def collect(self, xml: str, folder: str) -> None:
        """Move into the folder what libvirt keeps of a guest elsewhere."""
        firmware_state.collect(xml, folder)

    def copy(
            self, source: str, target: str,
            watch: Callable[[], object]) -> None:
        """Copy a file, or a folder; what *watch* raises ends the program."""
        host = netutils.escape_ipv6(self._host)
        with self._naming('copy a disk'), _watched(watch) as on_execute:
            self._files.copy_file(
                source, f'{host}:{target}', on_execute=on_execute)

    def remove(self, folder: str) -> None:
        """Remove a folder."""
        with self._naming('remove a folder'):
            self._files.remove_dir(self._host, folder)

    @contextlib.contextmanager
    def _naming(self, tried: str) -> Iterator[None]:
        try:
            yield
        except (processutils.ProcessExecutionError, OSError) as error:
            user = processutils.execute('id', '-un')[0].strip()
            raise exception.StorageFailure(
                reason=f'cannot {tried} on {self._host} by '
                f'{CONF.libvirt.remote_filesystem_transport} as {user}: '
                f'{getattr(error, "stderr", "") or error}',
                path=CONF.instances_path) from error


@contextlib.contextmanager
def _watched(
        watch: Callable[[], object]) -> Iterator[Callable[[Any], object]]:
    """Lend what ends a program that it is given when *watch* raises.

    A deletion must not wait for a copy, nor leave one that goes on
    (CVE-2015-3241).
    """
    is_over = threading.Event()
    raised: list[BaseException] = []

    def follow(process: Any) -> None:
        while not is_over.wait(_WATCH_S):
            try:
                watch()
            except exception.DriverError as error:
                raised.append(error)
                process.terminate()
                return

    threads = []

    def begin(process: Any) -> None:
        threads.append(runtime.Thread(
            target=follow, args=(process,), daemon=True))
        threads[-1].start()

    try:
        yield begin
    except processutils.ProcessExecutionError:
        if not raised:
            raise
    finally:
        is_over.set()
        for thread in threads:
            thread.join()
    if raised:
        raise raised[0]


def address() -> str:
    """Return the address to which other hosts send files."""
    return str(CONF.libvirt.migration_inbound_addr or CONF.my_ip)


def carrier(dest: str) -> Remote | None:
    """Return what takes files to an address; None when that is here."""
    return None if dest in (address(), CONF.my_ip) else Remote(dest)


def check_sizes(
        core: base.ComputeDriver, instance: Any, flavor: Any,
        block_device_info: Any) -> None:
    """Refuse a flavor whose disks are smaller than those of a server.

    :raises ResizeError: they are
    """
    ephemerals = nova_driver.block_device_info_get_ephemerals(
        block_device_info)
    ephemeral_gb = (sum(one['size'] or 0 for one in ephemerals)
                    or instance.flavor.ephemeral_gb)
    root_bytes = max([
        use.size_bytes for use in core.get_instance_disk_info(instance)
        if os.path.basename(use.path) == 'disk'], default=0)
    if flavor.ephemeral_gb < ephemeral_gb or root_bytes and (
            flavor.root_gb < instance.flavor.root_gb
            or 0 < flavor.root_gb * units.Gi < root_bytes):
        raise nova_exception.ResizeError(
            reason='the disks of the flavor are smaller than those of the '
            'server, and disks do not shrink')


@contextlib.contextmanager
def started_again(
        core: base.ComputeDriver, instance: Any,
        start: Callable[[], None]) -> Iterator[None]:
    """Start a server again that cannot go, if it was up."""
    was_up = core.get_info(instance).state in _UP
    try:
        yield
    except exception.GaveWay:
        # It is to be deleted.
        raise
    except Exception:
        if was_up:
            try:
                # It may have been deleted meanwhile.
                if core.instance_exists(instance):
                    start()
            except Exception as error:
                LOG.error('The server stays stopped: %s', error,
                          instance=instance)
        raise


@contextlib.contextmanager
def rolled_back(instance: Any) -> Iterator[None]:
    """Let a server be as it was when it cannot go.

    :raises InstanceFaultRollback: with what Nova may show of the reason
    """
    try:
        yield
        return
    except Exception as error:
        shown = errors.shown('migrate_disk_and_power_off', error, instance)
    # Out of the handler, as in the border: no cause comes along.
    raise nova_exception.InstanceFaultRollback(inner_exception=shown)


def is_abandoned(instance: Any) -> bool:
    """Say whether files of a migration are here that nothing needs."""
    return (os.path.isdir(f'{_folder(instance)}_resize')
            and instance.task_state != task_states.RESIZE_REVERTING)


def clear(dest: str, instance: Any) -> None:
    """Remove what a killed departure has left on the other host.

    Else an evacuation would find old disks there, and take them for shared.
    """
    remote = carrier(dest)
    try:
        if remote is not None and not remote.open(_folder(instance)):
            remote.remove(_folder(instance))
    except exception.StorageFailure as error:
        LOG.warning('Files may be left in %s on the host %s, remove them: %s',
                    _folder(instance), dest, error, instance=instance)


def has_come(instance: Any) -> bool:
    """Say whether the files of a server are here, on shared storage."""
    # On NFS, what is new may not be seen before the folder changes.
    with contextlib.suppress(OSError):
        os.utime(CONF.instances_path)
    return os.path.isdir(_folder(instance))


def _folder(instance: Any) -> str:
    return str(os.path.join(CONF.instances_path, instance.uuid))


def check_evacuated(spec: guest_spec.GuestSpec) -> None:
    """Refuse a guest that would lose what its TPM remembers.

    :raises UnsupportedOperation: it has one
    """
    if spec.devices.tpm is not None:
        raise exception.UnsupportedOperation(
            tried='evacuate the guest', reason='what its TPM remembers is on '
            'the host that has failed, and the guest could not read its own '
            'disks with an empty one; restore that host')
