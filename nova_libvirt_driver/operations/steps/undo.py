# SPDX-License-Identifier: Apache-2.0

"""The undo stack of an operation.

Do a step, and on the next line say how to undo it; commit last. What is not
committed is undone, in reverse order. An undo is idempotent, its failure is
logged and noted on the first error, which it never replaces. The journal
remembers it then, so that somebody tries again.
"""

from collections.abc import Callable
from types import TracebackType

from oslo_log import log as logging

from nova_libvirt_driver.storage import journal as journal_module

LOG = logging.getLogger(__name__)


class Undo:
    """A context in which steps are undone unless they are committed.

    :param name: the operation, for the log
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._undos: list[tuple[str, Callable[[], object]]] = []
        self._always: list[tuple[str, Callable[[], object]]] = []
        self._failed = False

    def add(self, what: str, function: Callable[[], object]) -> None:
        """Register how to undo the step that was just done.

        :param what: words for the log, as in "remove the folder"
        """
        self._undos.append((what, function))

    def finally_(self, what: str, function: Callable[[], object]) -> None:
        """Register what is to be cleaned up also after a success."""
        self._undos.append((what, function))
        self._always.append((what, function))

    def journal(self, entry: journal_module.Entry) -> None:
        """Register the journal's entry; before all that is to be undone.

        It ends when nothing is left to clean up. When something could not
        be undone it is let go, for the next one who looks.
        """
        self.finally_('close the journal entry', lambda: (
            entry.release() if self._failed else entry.end()))

    def commit(self) -> None:
        """Keep what was done; only clean-ups are left to do."""
        self._undos = list(self._always)

    def __enter__(self) -> 'Undo':
        return self

    def __exit__(
            self, kind: type[BaseException] | None,
            error: BaseException | None,
            trace: TracebackType | None) -> None:
        while self._undos:
            what, function = self._undos.pop()
            try:
                function()
            except Exception as failure:
                self._failed = True
                LOG.error('%s: could not %s: %s', self._name, what, failure)
                if error is not None:
                    error.add_note(f'could not {what}: {failure}')
