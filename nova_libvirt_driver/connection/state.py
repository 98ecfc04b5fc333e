# SPDX-License-Identifier: Apache-2.0

"""Which states of the connection may follow which.

The states themselves, with what each means, are in ``spec.connection``::

    DISCONNECTED -> CONNECTING -> CONNECTED -> BROKEN -> CONNECTING ...
"""

from nova_libvirt_driver.spec import connection as connection_spec

State = connection_spec.ConnectionState

ALLOWED = frozenset({
    (State.DISCONNECTED, State.CONNECTING),
    (State.CONNECTING, State.CONNECTED),
    # The attempt failed.
    (State.CONNECTING, State.BROKEN),
    # The service stopped while the attempt was under way.
    (State.CONNECTING, State.DISCONNECTED),
    # Libvirt said that the session is gone, or a test of it failed.
    (State.CONNECTED, State.BROKEN),
    (State.CONNECTED, State.DISCONNECTED),
    (State.BROKEN, State.CONNECTING),
    (State.BROKEN, State.DISCONNECTED),
})
"""Pairs of a state and one that may follow it."""


def advance(current: State, following: State) -> State:
    """Return *following*.

    :raises ValueError: it may not follow *current*
    """
    if (current, following) not in ALLOWED:
        raise ValueError(f'{current} may not become {following}')
    return following
