# SPDX-License-Identifier: Apache-2.0

"""Asking for credentials as the library does, for the fake connection."""

from collections.abc import Callable
from collections.abc import Sequence
import traceback
from typing import Any

import libvirt

from nova_libvirt_driver.testing import fake_fault

Auth = Sequence[Any]
"""Credential types, callback, its second argument: openAuth's list."""

_HOST = 'localhost'
_SECRETS = (libvirt.VIR_CRED_PASSPHRASE, libvirt.VIR_CRED_NOECHOPROMPT)
_MISSING_SECRET = ('Missing VIR_CRED_PASSPHRASE or VIR_CRED_NOECHOPROMPT '
                   'credential type')


def demand(auth: Auth, username: str, password: str) -> None:
    """Ask for a name, then for its password, one request each.

    :raises libvirt.libvirtError: VIR_ERR_AUTH_FAILED
    """
    types, callback, opaque = auth
    if libvirt.VIR_CRED_AUTHNAME not in types:
        raise _failed('Missing VIR_CRED_AUTHNAME credential type')
    name = _ask(callback, opaque, libvirt.VIR_CRED_AUTHNAME,
                f'Enter username for {_HOST}')
    if name is None:
        raise _failed('Username request failed')
    secret_type = next((kind for kind in _SECRETS if kind in types), None)
    if secret_type is None:
        raise _failed(_MISSING_SECRET)
    secret = _ask(callback, opaque, secret_type,
                  f"Enter {name}'s password for {_HOST}")
    if secret is None:
        raise _failed('Password request failed')
    if (name, secret) != (username, password):
        raise _failed('authentication failed')


def _ask(
    callback: Callable[..., int], opaque: object, kind: int, prompt: str
) -> str | None:
    # Each request is a list whose last item takes the answer.
    request: list[Any] = [kind, prompt, _HOST, None, None]
    try:
        refused = callback((request,), opaque)
    except Exception:
        # The binding prints what a callback raises and counts it as a no.
        traceback.print_exc()
        return None
    answer: str | None = request[4]
    return None if refused else answer


def _failed(message: str) -> libvirt.libvirtError:
    return fake_fault.libvirt_error(
        libvirt.VIR_ERR_AUTH_FAILED, libvirt.VIR_FROM_AUTH,
        f'authentication failed: {message}')
