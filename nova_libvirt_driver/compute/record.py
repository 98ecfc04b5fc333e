# SPDX-License-Identifier: Apache-2.0

"""The record that says whether this host takes new instances.

Two marks decide, each with one owner: the driver's (no usable connection to
libvirt) and the operator's. The host is enabled when there is neither, and
neither owner can lift the other's mark. The record is one JSON file, always
replaced as a whole and only when something has changed; it can be read
without a lock.
"""

from collections.abc import Callable
import contextlib
import dataclasses
import datetime
import json
import os
import tempfile
from typing import Any
import urllib.parse

from oslo_log import log as logging

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import locking
from nova_libvirt_driver.filesystem import records

LOG = logging.getLogger(__name__)

DRIVER = 'driver'
OPERATOR = 'operator'
NO_REASON = 'no reason given'
_LOCK_S = 30.0

STARTING = 'the service starts and has not reached libvirt yet'


@dataclasses.dataclass(frozen=True, slots=True)
class ServiceRecord:
    """Whether a host takes new instances, and why not."""

    host: str
    driver_reason: str = ''
    """Why the driver has disabled the host; empty when it has not."""
    operator_reason: str = ''
    """Why an operator has disabled the host; empty when none has."""
    updated_at: str = ''
    """Time of the last change, ISO 8601 in UTC; empty when never saved."""

    @property
    def enabled(self) -> bool:
        """The host takes new instances."""
        return not self.driver_reason and not self.operator_reason

    @property
    def disabled_by(self) -> str:
        """``operator``, ``driver``, or empty when enabled.

        The operator's mark hides the driver's.
        """
        if self.operator_reason:
            return OPERATOR
        return DRIVER if self.driver_reason else ''

    @property
    def reason(self) -> str:
        """Why the host is disabled, or empty."""
        return self.operator_reason or self.driver_reason

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types, marks included."""
        return {'host': self.host, 'enabled': self.enabled,
                'reason': self.reason, 'disabled_by': self.disabled_by,
                'updated_at': self.updated_at,
                'driver_reason': self.driver_reason,
                'operator_reason': self.operator_reason}


def by_driver(
        record: ServiceRecord, *, enabled: bool,
        reason: str) -> ServiceRecord:
    """Return the record after the driver has reported."""
    mark = '' if enabled else reason or NO_REASON
    return dataclasses.replace(record, driver_reason=mark)


def by_operator(
        record: ServiceRecord, *, enabled: bool,
        reason: str) -> ServiceRecord:
    """Return the record after an operator's word.

    Enabling leaves the host disabled while the driver's mark is there.
    """
    mark = '' if enabled else reason or NO_REASON
    return dataclasses.replace(record, operator_reason=mark)


def utc_now() -> datetime.datetime:
    """Return the present time, aware of its zone."""
    return datetime.datetime.now(datetime.UTC)


class ServiceRecordFile:
    """The record of one host in a folder; implements ``ServiceState``.

    Several processes may use it at the same time.

    :param clock: gives the time of a change
    """

    def __init__(
            self, state_path: str, host: str,
            clock: Callable[[], datetime.datetime] = utc_now) -> None:
        self.host = host
        self._state_path = state_path
        self._clock = clock
        self._stem = f"service-{urllib.parse.quote(host, safe='')}"
        self.path = os.path.join(state_path, f'{self._stem}.json')

    def load(self) -> ServiceRecord:
        """Return the record as it is; enabled when there is none yet.

        A file that makes no sense is moved aside, as ``.corrupt``, and the
        host counts as disabled by an operator: somebody's own disable may
        have been in it, and only a person can say.

        :raises OSError: the file is there and cannot be read
        """
        try:
            return _parsed(records.load(self.path), self.host)
        except FileNotFoundError:
            return ServiceRecord(self.host)
        except ValueError as error:
            return self._after_corruption(error)

    def make_folder(self) -> None:
        """Make the folder of the record if need be.

        :raises OSError: it cannot be made
        """
        os.makedirs(self._state_path, mode=0o755, exist_ok=True)

    def prepare(self) -> ServiceRecord:
        """Set the driver's mark, for a service that starts; return the record.

        Whatever was known of libvirt before is out of date. The driver
        lifts the mark when it is connected.

        :raises OSError: the record cannot be written
        """
        return self._update(lambda record: by_driver(
            record, enabled=False, reason=STARTING))[1]

    def set_host_enabled(
            self, host: str, *, enabled: bool, reason: str) -> None:
        """Set or lift the driver's mark; see ``ports.ServiceState``.

        :raises StorageFailure: it cannot be written; the caller tries again
        """
        if host != self.host:
            other = ServiceRecordFile(self._state_path, host, self._clock)
            return other.set_host_enabled(
                host, enabled=enabled, reason=reason)
        try:
            before, after = self._update(lambda record: by_driver(
                record, enabled=enabled, reason=reason))
        except OSError as error:
            state = 'enabled' if enabled else f'disabled: {reason}'
            raise exception.StorageFailure(
                path=self._state_path,
                reason=f'the service record {self.path} cannot be written: '
                       f'{error}; it may not say how host {host} is '
                       f'({state})') from error
        _log_change(before, after)

    def set_by_operator(
            self, enabled: bool, reason: str = '') -> ServiceRecord:
        """Set or lift the operator's mark; return the record after it.

        :raises OSError: the record cannot be written
        """
        return self._update(lambda record: by_operator(
            record, enabled=enabled, reason=reason))[1]

    def _update(
            self, change: Callable[[ServiceRecord], ServiceRecord],
    ) -> tuple[ServiceRecord, ServiceRecord]:
        self.make_folder()
        with self._locked():
            before = self.load()
            after = change(before)
            if after != before or not before.updated_at:
                after = self._save(after)
            return before, after

    def _locked(self) -> contextlib.AbstractContextManager[None]:
        # Between threads of this process and between processes.
        return locking.held(locking.beside(
            self._state_path, f'{self._stem}.lock'), _LOCK_S)

    def _save(self, record: ServiceRecord) -> ServiceRecord:
        stamp = self._clock().isoformat(timespec='seconds')
        record = dataclasses.replace(record, updated_at=stamp)
        text = json.dumps(record.as_dict(), indent=2) + '\n'
        self._replace(text)
        return record

    def _replace(self, text: str) -> None:
        # The content reaches the disk before the name does, so that a power
        # cut leaves either the old record or the new one.
        descriptor, temporary = tempfile.mkstemp(
            dir=self._state_path, prefix=f'.{self._stem}-')
        try:
            with os.fdopen(descriptor, 'w', encoding='utf-8') as file:
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            os.replace(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise
        _sync_folder(self._state_path)

    def _after_corruption(self, error: ValueError) -> ServiceRecord:
        aside = f'{self.path}.corrupt'
        reason = (f'the service record made no sense ({error}) and is kept '
                  f'as {aside}; enable the host again when that is right')
        LOG.error('Host %s stays disabled: %s', self.host, reason)
        record = ServiceRecord(self.host, operator_reason=reason)
        try:
            os.replace(self.path, aside)
            return self._save(record)
        except OSError as failure:
            LOG.error('%s cannot be put aside: %s', self.path, failure)
            return record


def _parsed(content: dict[str, Any], host: str) -> ServiceRecord:
    return ServiceRecord(host, **{name: _text(content, name) for name in (
        'driver_reason', 'operator_reason', 'updated_at')})


def _text(content: dict[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str):
        raise ValueError(f'{name} is not a text')
    return value


def _sync_folder(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _log_change(before: ServiceRecord, after: ServiceRecord) -> None:
    if before.driver_reason == after.driver_reason:
        return
    if after.driver_reason:
        LOG.warning('Host %s disabled by the driver: %s', after.host,
                    after.driver_reason)
    elif after.enabled:
        LOG.info('Host %s enabled', after.host)
    else:
        LOG.info('Host %s stays disabled by an operator: %s', after.host,
                 after.reason)
