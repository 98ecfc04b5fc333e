# SPDX-License-Identifier: Apache-2.0

"""Sessions that nobody uses any more and that have to be closed.

A session is closed when no call is inside it: closing it under a call that
hangs could take the memory away that the call works on. Until then it waits
here.
"""

import threading

from oslo_log import log as logging

from nova_libvirt_driver.connection import calls as calls_module
from nova_libvirt_driver.connection import session as session_module
from nova_libvirt_driver import exception

LOG = logging.getLogger(__name__)

_TURN_S = 0.5


class Retired:
    """Holds such sessions, and closes them."""

    def __init__(
            self, calls: calls_module.Calls, *, timeout_s: float) -> None:
        self._calls = calls
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._sessions: list[session_module.Session] = []

    def add(self, session: session_module.Session) -> None:
        """Take a session, into which nobody comes any more; never blocks."""
        # Closing may outlive its deadline, and with it the turn it holds.
        session.turn.closed = True
        with self._lock:
            self._sessions.append(session)

    def close(self) -> bool:
        """Close what can be closed; say whether that was everything."""
        with self._lock:
            waiting, self._sessions = self._sessions, []
        left = [one for one in waiting if not self._close(one)]
        with self._lock:
            self._sessions.extend(left)
            return not self._sessions

    def _close(self, session: session_module.Session) -> bool:
        if not session.turn.acquire(_TURN_S):
            return False
        try:
            self._calls.run(session.close, name='closing a connection',
                            timeout_s=self._timeout_s)
        except exception.CallBudgetExhausted:
            return False
        except exception.DriverError as error:
            # The thread that closes it goes on until it has.
            LOG.debug('An old connection is not closed yet: %s', error)
        finally:
            session.turn.release()
        return True
