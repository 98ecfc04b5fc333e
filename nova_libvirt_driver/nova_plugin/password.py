# SPDX-License-Identifier: Apache-2.0

"""A password that was set, for the owner of the server to look up.

The metadata service gives it out, encrypted with the key pair of the server:
``nova get-password`` decrypts it.
"""

from typing import Any

from nova.api.metadata import password
from nova import crypto
from oslo_log import log as logging
from oslo_serialization import base64

LOG = logging.getLogger(__name__)

_ENCRYPTS = 'ssh-rsa'
"""The kind of key that can; with others a password cannot be looked up."""


def note(instance: Any, new_pass: str) -> None:
    """Write down a password that a server has by now (LP 1748544).

    Asks the database of the cloud. What fails is logged: an error would put
    a server into the state of an error that has its password.
    """
    key = (instance.key_data if 'key_data' in instance else None) or ''
    if not key.startswith(_ENCRYPTS):
        return
    try:
        encrypted = base64.encode_as_text(
            crypto.ssh_encrypt_text(key, new_pass))
        instance.system_metadata.update(
            password.convert_password(None, encrypted))
        instance.save()
    except Exception as error:
        LOG.warning('The password that was set cannot be looked up: %s',
                    error, instance=instance)
