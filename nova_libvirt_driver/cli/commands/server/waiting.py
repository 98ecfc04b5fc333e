# SPDX-License-Identifier: Apache-2.0

"""Waiting until a server is up, has printed something, or has an address."""

from collections.abc import Callable
import dataclasses
import re
import time
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli.output import terminal
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import instance as instance_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import base
    from nova_libvirt_driver import driver as driver_module
    from nova_libvirt_driver import ports
    from nova_libvirt_driver.spec import nic as nic_spec

ACTIVE = 'active'
TIMEOUT_S = 120.0
LAST_LINES = 20

_SERIAL = 'serial:'
_POLL_S = 0.25
_ADDRESS_POLL_S = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Condition:
    """What is waited for."""

    text: str
    """As it was typed."""
    pattern: re.Pattern[str] | None = None
    """What the serial console has to show; None waits for power only."""


def condition(text: str) -> Condition:
    """Read the argument of ``--wait``.

    :raises ValueError: it makes no sense; the text is for its user
    """
    if text == ACTIVE:
        return Condition(text)
    if not text.startswith(_SERIAL) or text == _SERIAL:
        raise ValueError(f'{text!r} is neither active nor serial:REGEX')
    try:
        return Condition(text, re.compile(
            text.removeprefix(_SERIAL), re.MULTILINE))
    except re.error as error:
        raise ValueError(f'{text!r} is not a regular expression: '
                         f'{error}') from error


@dataclasses.dataclass(frozen=True, slots=True)
class Clock:
    """Time, as tests replace it."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def until(
        driver: 'base.ComputeDriver', instance: instance_spec.Instance,
        wanted: Condition, *, timeout_s: float,
        clock: Clock = Clock()) -> None:
    """Wait for the condition.

    :raises WaitTimeout: it did not come in time
    """
    deadline = clock.now() + timeout_s
    while not _is_met(driver, instance, wanted):
        if clock.now() >= deadline:
            raise errors.WaitTimeout(
                f'{wanted.text} did not come within {timeout_s:g} s',
                'wait longer with --timeout SECONDS, or see nova-libvirt '
                f'server console log {instance.name}')
        clock.sleep(_POLL_S)


def printed(
        driver: 'base.ComputeDriver',
        instance: instance_spec.Instance) -> str:
    """Return the end of what the server printed, empty for nothing yet."""
    try:
        output = driver.get_console_output(instance)
    except exception.ConsoleUnavailable:
        return ''
    return terminal.Cleaner().feed(output)


def addresses(
        driver: 'driver_module.LibvirtDriver',
        instance: instance_spec.Instance, line: 'ports.Progress', *,
        timeout_s: float,
        clock: Clock = Clock()) -> 'list[nic_spec.FoundAddress]':
    """Return the addresses of a server as soon as there are any.

    There may be none when the time is over, or the server does not run any
    more; without time they are looked up once.
    """
    deadline = clock.now() + timeout_s
    while not (found := driver.get_addresses(instance)):
        left_s = deadline - clock.now()
        if left_s <= 0 or not _runs(driver, instance):
            break
        line.step(f'no address yet, {left_s:.0f} s left')
        clock.sleep(min(left_s, _ADDRESS_POLL_S))
    return found


def _runs(
        driver: 'base.ComputeDriver',
        instance: instance_spec.Instance) -> bool:
    return driver.get_info(instance, use_cache=False).state is (
        instance_spec.PowerState.RUNNING)


def _is_met(
        driver: 'base.ComputeDriver', instance: instance_spec.Instance,
        wanted: Condition) -> bool:
    if wanted.pattern is None:
        return _runs(driver, instance)
    return wanted.pattern.search(printed(driver, instance)) is not None
