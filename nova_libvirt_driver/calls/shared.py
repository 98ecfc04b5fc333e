# SPDX-License-Identifier: Apache-2.0

"""One answer for all who ask within some time of each other.

A caller that finds no answer that is fresh enough asks; those that come
meanwhile, and would be content with that one, wait for it. Nothing is asked
while a lock is held.
"""

from collections.abc import Callable
from concurrent import futures
import dataclasses
import threading
from typing import Generic
from typing import TypeVar

from nova_libvirt_driver.calls import runtime as runtime_module
from nova_libvirt_driver import exception

T = TypeVar('T')


@dataclasses.dataclass(frozen=True, slots=True)
class Aged(Generic[T]):
    """An answer, and when it was asked for."""

    value: T
    asked_s: float
    """As the clock of the runtime counts; the answer is no older."""
    generation: int
    """Of the connection that was asked."""

    @property
    def order(self) -> tuple[int, float]:
        """What is greater for a newer one."""
        return self.generation, self.asked_s


@dataclasses.dataclass(frozen=True, slots=True)
class _Question(Generic[T]):
    """A question that is under way."""

    asked_s: float
    generation: int
    future: 'futures.Future[Aged[T] | None]'


class Shared(Generic[T]):
    """The last answer to one question.

    :param ask: asks; has deadlines of its own, and raises when they pass
    :param max_age_s: how old an answer may be unless a caller says
    :param generation: tells connections apart; the answer of an earlier one
        counts for nothing
    """

    def __init__(
            self, ask: Callable[[], T], *, max_age_s: float,
            generation: Callable[[], int] = lambda: 0,
            runtime: runtime_module.Runtime = runtime_module.PROCESS,
    ) -> None:
        self._ask = ask
        self._max_age_s = max_age_s
        self._generation = generation
        self._runtime = runtime
        self._lock = threading.Lock()
        self._last: Aged[T] | None = None
        self._under_way: _Question[T] | None = None

    def get(self, max_age_s: float | None = None) -> Aged[T]:
        """Return an answer that is fresh enough; asks if there is none.

        :param max_age_s: how old it may be; 0 asks in any case, also while
            another caller does
        :raises Exception: what asking raised, for all who waited for it
        """
        bound_s = self._max_age_s if max_age_s is None else max_age_s
        now_s = self._runtime.monotonic()

        def is_good(one: Aged[T] | _Question[T]) -> bool:
            return (one.generation == generation
                    and now_s - one.asked_s < bound_s)

        while True:
            # Read before anything is asked, so that an answer never counts
            # for a later connection than its own.
            generation = self._generation()
            with self._lock:
                last = self._last
                if last is not None and is_good(last):
                    return last
                question = self._under_way
                if question is None or not is_good(question):
                    question = self._under_way = _Question(
                        now_s, generation, self._runtime.future())
                    break
            found = _wait(question)
            if found is not None:
                return found
        return self._answer(question)

    def now_s(self) -> float:
        """Return the time that :attr:`Aged.asked_s` counts in."""
        return self._runtime.monotonic()

    def age_s(self, answer: Aged[T]) -> float:
        """Return how old an answer is."""
        return self._runtime.monotonic() - answer.asked_s

    def _answer(self, question: _Question[T]) -> Aged[T]:
        try:
            found = Aged(self._ask(), question.asked_s, question.generation)
        except Exception as error:
            self._settle(question, None)
            question.future.set_exception(error)
            raise
        except BaseException:
            self._settle(question, None)
            question.future.set_result(None)
            raise
        self._settle(question, found)
        question.future.set_result(found)
        return found

    def _settle(self, question: _Question[T], found: Aged[T] | None) -> None:
        with self._lock:
            if self._under_way is question:
                self._under_way = None
            if found is not None and (
                    self._last is None or found.order >= self._last.order):
                self._last = found


def _wait(question: _Question[T]) -> Aged[T] | None:
    """Return the answer, or None when the caller that asked was killed."""
    try:
        return question.future.result()
    except exception.DriverError as error:
        raise (exception.again(error) or error) from error
