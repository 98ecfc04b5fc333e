# SPDX-License-Identifier: Apache-2.0

"""Files of the person who makes a server, on their way into it.

They travel on the config drive. A private key, or a file that is no text
where text is needed, is refused before anything is created. User data may be
any bytes: cloud-init takes them compressed, too.
"""

import base64
from collections.abc import Iterable
import os
import re

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.spec import configdrive as configdrive_spec

_MAX_BYTES = 1 << 20
# Of Nova's API, for the text in base64.
_USER_DATA_MAX = 65535
_KEY = re.compile(r'(ssh-|ecdsa-|sk-)[a-z0-9@.-]+ [A-Za-z0-9+/=]+( .*)?')


def config_drive(
        name: str, *, user_data: str = '',
        files: Iterable[tuple[str, str]] = (),
        keys: Iterable[str] = ()) -> configdrive_spec.ConfigDriveSpec:
    """Return what goes onto the config drive of a server.

    :param name: of the server; its host name derives from it
    :param user_data: path of a local file, empty for none
    :param files: pairs of path in the guest and path of a local file
    :param keys: paths of public keys
    :raises UsageError: a file cannot be read, or is not what it has to be
    """
    return configdrive_spec.ConfigDriveSpec(
        hostname=host_name(name),
        user_data=_user_data(user_data) if user_data else '',
        files=tuple(_injected(*pair) for pair in files),
        public_keys=_public_keys(keys))


def host_name(name: str) -> str:
    """Return the name that a server has for itself."""
    return re.sub('[^a-z0-9-]', '-', name.lower()).strip('-')


def _user_data(path: str) -> str:
    content = _bytes(path)
    if len(base64.b64encode(content)) > _USER_DATA_MAX:
        raise errors.UsageError(
            f'{path} has {len(content)} bytes; user data may have '
            f'{_USER_DATA_MAX // 4 * 3}',
            'compress it with gzip, or let the guest fetch it from somewhere')
    # Bytes that are no text come out of the config drive as they are.
    return content.decode('utf-8', 'surrogateescape')


def _injected(path: str, local: str) -> configdrive_spec.InjectedFile:
    if not path.startswith('/') or path.endswith('/'):
        raise errors.UsageError(
            f'{path!r} is not the path of a file in the guest',
            'write --file /etc/motd=./motd')
    return configdrive_spec.InjectedFile(
        path=path,
        content_base64=base64.b64encode(_bytes(local)).decode('ascii'))


def _public_keys(paths: Iterable[str]) -> dict[str, str]:
    keys: dict[str, str] = {}
    for path in paths:
        name, key = _public_key(path)
        if name in keys:
            name = f'{name}-{len(keys) + 1}'
        keys[name] = key
    return keys


def _public_key(path: str) -> tuple[str, str]:
    text = _text(path).strip()
    if 'PRIVATE KEY' in text:
        raise errors.UsageError(
            f'{path} holds a private key, which stays with you',
            f'give the public one, perhaps {path}.pub')
    if not _KEY.fullmatch(text):
        raise errors.UsageError(
            f'{path} does not hold one public key for SSH',
            'give a file like ~/.ssh/id_ed25519.pub')
    return os.path.basename(path).removesuffix('.pub'), text


def _text(path: str) -> str:
    try:
        return _bytes(path).decode()
    except UnicodeDecodeError:
        raise errors.UsageError(
            f'{path} is not text in UTF-8', 'give a text file') from None


def _bytes(path: str) -> bytes:
    try:
        with open(os.path.expanduser(path), 'rb') as file:
            content = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise errors.UsageError(
            f'{path} cannot be read: {error.strerror}',
            'name a file that you may read') from error
    if len(content) > _MAX_BYTES:
        raise errors.UsageError(
            f'{path} is larger than {_MAX_BYTES >> 20} MiB',
            'let the guest fetch it from somewhere')
    return content
