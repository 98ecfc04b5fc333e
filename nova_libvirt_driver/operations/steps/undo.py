# SPDX-License-Identifier: Apache-2.0

"""The undo stack of an operation.

Do a step, and on the next line say how to undo it; commit last. What is not
committed is undone, in reverse order. An undo is idempotent, its failure is
logged and noted on the first error, which it never replaces. The journal
remembers it then, so that it is tried again. What the journal remembers
is undone, so an operation has succeeded once it has forgotten it.
"""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from oslo_log import log as logging

from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module

LOG = logging.getLogger(__name__)


class Undo:
    """A context in which steps are undone unless they are committed.

    :param name: the operation, for the log
    :param instance: what it works on
    """

    def __init__(self, name: str, instance: instance_spec.Instance) -> None:
        self._name = name
        self.uuid = instance.uuid
        self._instance = instance
        self._undos: list[tuple[str, Callable[[], object]]] = []
        self._always: list[tuple[str, Callable[[], object]]] = []
        self._failed = False
        self._entry: journal_module.Entry | None = None

    def add(self, what: str, function: Callable[[], object]) -> None:
        """Register how to undo the step that was just done.

        :param what: words for the log, as in "remove the folder"
        """
        self._undos.append((what, function))

    def finally_(self, what: str, function: Callable[[], object]) -> None:
        """Register what is to be cleaned up also after a success."""
        self._undos.append((what, function))
        self._always.append((what, function))

    def begin(
            self, journal: journal_module.Journal,
            **values: Any) -> journal_module.Entry:
        """Begin an entry in the journal; before all that is to be undone.

        It ends when nothing is left to clean up. When something could not
        be undone it is let go, for the next one who looks.

        :param values: what is needed to clean up, and ``lasting``: see
            :meth:`journal.Journal.begin`
        :raises StorageFailure: it cannot be written; nothing is left
        """
        self._entry = journal.begin(
            self._name, uuid=self.uuid, name=self._instance.name, **values)
        self.finally_('close the journal entry', self._close)
        return self._entry

    def hand_over(
            self, entry: journal_module.Entry, phase: str, timeout_s: float,
            **values: object) -> None:
        """Leave the operation open: another call keeps or undoes what it did.

        That need not be in this process. See :meth:`Entry.leave_open`; after
        a failure all is undone as ever.

        :param values: what is needed for the undo in place of this stack
        """
        entry.leave_open(phase, timeout_s, **values)
        self.commit()

    def commit(self) -> None:
        """Keep what was done; only clean-ups are left to do.

        :raises StorageFailure: the journal's entry cannot be ended
        """
        # The entry outlives other clean-ups: it tells of their remains.
        if self._entry is not None and len(self._always) == 1:
            self._entry.end()
        self._undos = list(self._always)

    def _close(self) -> None:
        assert self._entry is not None
        try:
            if not self._failed:
                self._entry.end()
        finally:
            self._entry.release()

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
                LOG.error('%s: could not %s: %s', self._name, what, failure,
                          instance={'uuid': self.uuid})
                if error is not None:
                    error.add_note(f'could not {what}: {failure}')
