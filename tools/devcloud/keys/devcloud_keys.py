# SPDX-License-Identifier: Apache-2.0

"""A key manager for nova-compute, in the place of Barbican.

It keeps passphrases in files below ``state_path``, readable to all who are
nova-compute: enough to give servers a TPM, and not safe.
"""

import pathlib
from typing import Any
import uuid

from castellan.common import exception
from castellan.common.objects import passphrase
from castellan.key_manager import key_manager


class KeyManager(key_manager.KeyManager):  # type: ignore[misc]
    """What Nova needs for the secrets of TPMs."""

    def __init__(self, configuration: Any) -> None:
        self._folder = pathlib.Path(configuration.state_path) / 'keys'

    def store(
            self, context: Any, managed_object: Any,
            expiration: Any = None) -> str:
        """Keep a passphrase and return its id."""
        identifier = str(uuid.uuid4())
        self._folder.mkdir(mode=0o700, exist_ok=True)
        (self._folder / identifier).write_bytes(managed_object.get_encoded())
        return identifier

    def get(
            self, context: Any, managed_object_id: str,
            metadata_only: bool = False) -> Any:
        """Return a passphrase."""
        try:
            value = (self._folder / managed_object_id).read_bytes()
        except FileNotFoundError:
            raise exception.ManagedObjectNotFoundError(
                uuid=managed_object_id) from None
        return passphrase.Passphrase(value, id=managed_object_id)

    def delete(
            self, context: Any, managed_object_id: str,
            force: bool = False) -> None:
        """Forget a passphrase."""
        try:
            (self._folder / managed_object_id).unlink()
        except FileNotFoundError:
            raise exception.ManagedObjectNotFoundError(
                uuid=managed_object_id) from None

    def create_key(self, context: Any, *args: Any, **kwargs: Any) -> str:
        """Make no keys: a passphrase is made by who asks for it."""
        raise NotImplementedError

    create_key_pair = create_key
    add_consumer = create_key
    remove_consumer = create_key
