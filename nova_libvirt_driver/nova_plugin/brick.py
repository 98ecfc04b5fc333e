# SPDX-License-Identifier: Apache-2.0

"""Connects the host to volumes through os-brick, as Nova configures it."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import dataclasses
import os
from typing import Any

from castellan import key_manager
from nova import utils
from nova.virt import images
from nova.volume import cinder
from os_brick import encryptors
from os_brick.encryptors import luks
from os_brick import exception as brick_exception
from os_brick import initiator
from os_brick.initiator import connector
from os_brick.privileged import rootwrap
from os_brick import utils as brick_utils
from oslo_log import log as logging
from oslo_utils import strutils

import nova.conf
from nova_libvirt_driver.conf import policy
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import mounts
from nova_libvirt_driver.spec import volume as volume_spec
from nova_libvirt_driver.volumes import connection as connection_module
from nova_libvirt_driver.volumes import identity
from nova_libvirt_driver.volumes import protocols
from nova_libvirt_driver.volumes import secrecy

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

_NAMES = {
    'fibre_channel': initiator.FIBRE_CHANNEL,
    'iscsi': initiator.ISCSI,
    'iser': initiator.ISER,
    'lightos': initiator.LIGHTOS,
    'nvmeof': initiator.NVME,
    'scaleio': initiator.SCALEIO,
    'storpool': initiator.STORPOOL,
}
"""Protocols of the volume service, as os-brick calls them."""

_SCANS = {
    'fibre_channel': 'num_volume_scan_tries',
    'iscsi': 'num_volume_scan_tries',
    'iser': 'num_iser_scan_tries',
    'lightos': 'num_nvme_discover_tries',
    'nvmeof': 'num_nvme_discover_tries',
    'scaleio': 'num_volume_scan_tries',
}
"""Options that say how often a new device is looked for."""

_MULTIPATH = {
    'fibre_channel': 'volume_use_multipath',
    'iscsi': 'volume_use_multipath',
    'iser': 'iser_use_multipath',
    'nvmeof': 'volume_use_multipath',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Connector:
    """Implements ``ports.VolumeConnector``.

    os-brick locks by files of its own, in the folder that nova-compute tells
    it, so that other services on this host that use it do not disturb.

    :param context: whose rights the volume service and the key manager see
    :param root: below which ``/dev`` and ``/sys`` are
    """

    context: Any
    root: str = '/'

    @property
    def settings(self) -> volume_spec.VolumeSettings:
        """What Nova's configuration says of volumes."""
        libvirt = CONF.libvirt
        guest = policy.guest(CONF)
        return volume_spec.VolumeSettings(
            rbd_user=libvirt.rbd_user or '',
            rbd_secret_uuid=libvirt.rbd_secret_uuid or '',
            default_aio=bool(getattr(
                libvirt, 'use_default_aio_mode_for_volumes', False)),
            cache_modes=guest.disk_cachemodes, discard=guest.discard,
            ephemeral_secrets=(
                CONF.nova_libvirt_driver.ephemeral_volume_secrets))

    def properties(self) -> Mapping[str, Any]:
        """Return what the volume service has to know of this host."""
        found: Mapping[str, Any] = connector.get_connector_properties(
            utils.get_root_helper(), CONF.my_block_storage_ip,
            CONF.libvirt.volume_use_multipath, enforce_multipath=True,
            host=CONF.host)
        return found

    def connect(self, info: dict[str, Any]) -> str:
        """Connect the host; see the port."""
        connection = connection_module.read(info)
        with _failing(connection):
            if _is(connection, protocols.HostPart.MOUNT):
                info['data']['device_path'] = mounts.mount(connection, info)
                return ''
            found = _brick(connection).connect_volume(info['data'])
            info['data']['device_path'] = found['path']
            if 'multipath_id' in found and (
                    connection.protocol == 'fibre_channel'):
                info['data']['multipath_id'] = found['multipath_id']
            if connection.encrypted:
                self._show_decrypted(info)
            return str(found.get('scsi_wwn') or '')

    def unlock(self, info: dict[str, Any]) -> bytes | None:
        """Make an encrypted volume readable; see the port.

        What the host decrypts already needs no key. A volume that was never
        written to is formatted with LUKS: the volume service leaves that to
        the first who attaches it.
        """
        connection = connection_module.read(info)
        with _failing(connection):
            if connection.device_path and self._is_decrypted(
                    connection.device_path):
                return None
            metadata = self._encryption(connection, info)
            if not _is_for_qemu(metadata):
                self._decrypt(connection, info, metadata)
                return None
            passphrase = self._passphrase(connection, metadata)
            if connection.device_path and not luks.is_luks(
                    utils.get_root_helper(), connection.device_path):
                # A private method, which Nova's own driver takes as well.
                _encryptor(info, metadata)._format_volume(
                    passphrase, **metadata)
            return passphrase.encode()

    def disconnect(self, info: dict[str, Any], *, force: bool) -> None:
        """Disconnect the host; see the port."""
        connection = connection_module.read(info)
        with _failing(connection):
            if _is(connection, protocols.HostPart.MOUNT):
                mounts.unmount(connection)
                return
            if connection.encrypted and connection.device_path:
                self._close(info)
            data = info['data']
            with contextlib.suppress(brick_exception.VolumeDeviceNotFound):
                # Fibre Channel alone wants to know the multipath device.
                _brick(connection).disconnect_volume(
                    data, data if connection.protocol == 'fibre_channel'
                    else None, force=force)

    def extend(self, info: dict[str, Any]) -> int:
        """Return the size that a volume has on the host; see the port."""
        connection = connection_module.read(info)
        with _failing(connection):
            size = _brick(connection).extend_volume(info['data'])
            if not isinstance(size, int):
                raise connection.failure(
                    'the size of its device is not known after it was '
                    'extended')
            return size

    def extend_decrypted(self, info: dict[str, Any], size_bytes: int) -> int:
        """Return the size that is decrypted; see the port."""
        connection = connection_module.read(info)
        if not connection.encrypted:
            return size_bytes
        with _failing(connection):
            metadata = self._encryption(connection, info)
            if _is_for_qemu(metadata):
                found = images.privileged_qemu_img_info(
                    _image(connection, self.settings))
                header_bytes = found.format_specific['data']['payload-offset']
                return size_bytes - int(header_bytes)
            size = self._kernel(info, metadata).extend_volume(
                self.context, **metadata)
            if not isinstance(size, int):
                raise connection.failure('what decrypts it has not grown')
            return size

    def _encryption(
            self, connection: connection_module.VolumeConnection,
            info: dict[str, Any]) -> Mapping[str, Any]:
        metadata: Mapping[str, Any] = encryptors.get_encryption_metadata(
            self.context, cinder.API(), connection.volume_id, info)
        if not metadata:
            raise connection.failure(
                'it is encrypted, and the volume service does not say how')
        return metadata

    def _kernel(
            self, info: dict[str, Any], metadata: Mapping[str, Any]) -> Any:
        """Return what has the kernel decrypt a volume."""
        return encryptors.get_volume_encryptor(
            root_helper=utils.get_root_helper(),
            keymgr=key_manager.API(CONF), connection_info=info, **metadata)

    def _passphrase(
            self, connection: connection_module.VolumeConnection,
            metadata: Mapping[str, Any]) -> str:
        try:
            secret = key_manager.API(CONF).get(
                self.context, metadata['encryption_key_id'])
        except Exception as error:
            raise connection.failure(
                'libvirt does not have its passphrase, and the key cannot be '
                f'had: {type(error).__name__}: {error}',
                hint='let a user start the server who may read the key: the '
                'service may not, and libvirt forgets passphrases when it is '
                'restarted, with ephemeral_volume_secrets') from error
        if hasattr(brick_utils, 'get_passphrase_from_secret'):
            return str(brick_utils.get_passphrase_from_secret(secret))
        # Of an older os-brick, which knows symmetric keys only.
        return str(secret.get_encoded().hex())

    def _decrypt(
            self, connection: connection_module.VolumeConnection,
            info: dict[str, Any], metadata: Mapping[str, Any]) -> None:
        """Have the kernel decrypt what QEMU cannot.

        :raises VolumeFailure: the path does not lead to what is decrypted
        """
        if not _is(connection, protocols.HostPart.DEVICE):
            # os-brick puts a link in the place of the path, even of a file.
            raise connection.failure(
                'QEMU cannot decrypt it, nor can the host, which has no '
                'device of it')
        # One of that name is of a device that the host has had before.
        self._close(info)
        self._kernel(info, metadata).attach_volume(
            self.context, **metadata)
        if not self._is_decrypted(connection.device_path):
            # Never the device itself: the guest would see, and overwrite,
            # what is encrypted.
            raise connection.failure(
                f'{connection.device_path} does not lead to what is '
                'decrypted')

    def _show_decrypted(self, info: dict[str, Any]) -> None:
        """Let the path lead to what is decrypted, if the volume is.

        os-brick has just had it lead to the volume itself, as if it were
        connected for the first time.
        """
        path, mapper = info['data']['device_path'], self._mapper(info)
        below = os.path.join(self._block(mapper), 'slaves')
        if self._is_decrypted(mapper) and os.listdir(below) == [
                os.path.basename(os.path.realpath(path))]:
            rootwrap.link_root(mapper, path, force=True)

    def _close(self, info: dict[str, Any]) -> None:
        """Close what the kernel decrypts, if it does; idempotent.

        The volume service may have forgotten by now how it is encrypted, and
        to close it that does not matter.
        """
        if os.path.exists(self._mapper(info)):
            _encryptor(info, {'provider': encryptors.LUKS}).detach_volume()

    def _mapper(self, info: dict[str, Any]) -> str:
        """Return where the kernel decrypts a volume."""
        name = _encryptor(info, {'provider': encryptors.LUKS}).dev_name
        return os.path.join(self.root, 'dev/mapper', name)

    def _block(self, path: str) -> str:
        return os.path.join(self.root, 'sys/class/block',
                            os.path.basename(os.path.realpath(path)))

    def _is_decrypted(self, path: str) -> bool:
        """Say whether a path leads to what the kernel decrypts."""
        with contextlib.suppress(OSError), open(
                os.path.join(self._block(path), 'dm/uuid'),
                encoding='ascii') as file:
            return file.read().startswith(identity.CRYPT)
        return False


def _is(
        connection: connection_module.VolumeConnection,
        host_part: protocols.HostPart) -> bool:
    return protocols.of(connection).host_part is host_part


def _brick(connection: connection_module.VolumeConnection) -> Any:
    """Return os-brick's connector for a protocol."""
    protocol, libvirt = connection.protocol, CONF.libvirt
    options: dict[str, Any] = {}
    if protocol in _SCANS:
        options['device_scan_attempts'] = libvirt[_SCANS[protocol]]
    if protocol in _MULTIPATH:
        options['use_multipath'] = libvirt[_MULTIPATH[protocol]]
        # Nova 30 and before have no such option.
        options['enforce_multipath'] = bool(getattr(
            libvirt, 'volume_enforce_multipath', False))
    if protocol == 'iscsi':
        options['transport'] = libvirt.iscsi_iface or 'default'
    elif protocol == 'iser':
        options['transport'] = 'iser'
    return connector.InitiatorConnector.factory(
        _NAMES[protocol], utils.get_root_helper(), **options)


def _image(
        connection: connection_module.VolumeConnection,
        settings: volume_spec.VolumeSettings) -> str:
    """Return a volume in the words of qemu-img.

    Ceph's user is the guest's: that of an administrator, whom it takes
    without a word, need not be on this host (LP 1913575).
    """
    if connection.protocol != 'rbd':
        return connection.text('device_path')
    source = protocols.of(connection).source(connection, settings)
    user = source.auth_username
    return f'rbd:{source.path}' + (f':id={user}' if user else '')


def _is_for_qemu(metadata: Mapping[str, Any]) -> bool:
    provider = metadata.get('provider')
    return bool(encryptors.LEGACY_PROVIDER_CLASS_TO_FORMAT_MAP.get(
        provider, provider) == encryptors.LUKS)


def _encryptor(info: dict[str, Any], metadata: Mapping[str, Any]) -> Any:
    # Without a key manager: it is handed the passphrase.
    return encryptors.get_volume_encryptor(
        root_helper=utils.get_root_helper(), keymgr=None,
        connection_info=info,
        **{**metadata, 'control_location': 'front-end'})


@contextlib.contextmanager
def _failing(
        connection: connection_module.VolumeConnection) -> Iterator[None]:
    """Make one error of all that os-brick and its programs raise."""
    try:
        yield
    except exception.DriverError:
        raise
    except Exception as error:
        text = _text(error)
        reason = strutils.mask_password(
            secrecy.masked(text, connection.info))
        # Nor does a traceback show what is not to be read.
        raise connection.failure(reason) from (
            error if reason == text else None)


def _text(error: Exception) -> str:
    # Programs that failed are quoted with what they were called with.
    try:
        return f'{type(error).__name__}: {error}'
    except AttributeError:
        # Of oslo.config's errors: version 9 cannot say which option it is
        # that oslo.concurrency misses.
        return f'{type(error).__name__}: {vars(error)}'
