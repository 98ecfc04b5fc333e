# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt events``: lifecycle events of guests, as they happen.

Prints; keeps nothing, so an event from before the start is not shown. The
connection is watched by the driver: when libvirt goes away and comes back,
what was missed is shown too, marked as synthesized.
"""

import argparse
from collections.abc import Iterable
import contextlib
import io
import queue
from typing import TYPE_CHECKING

from oslo_config import cfg

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli.output import event_line
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.cli import watch
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import event as event_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

_TIMEOUT_S = 10.0


class Events(base.Command):
    """Print lifecycle events of guests as they come, one on each line.

    It waits for one event, or COUNT, for 10 s or the --timeout, and exits
    with 6 if fewer came. With --follow it goes on until Ctrl-C, which is
    its normal end with exit code 0, or until COUNT or --timeout if one is
    given; and it waits for libvirt when that is down.

    The other formats than table are for programs. With json there is an
    object on each line, with value the values of timestamp, server, uuid,
    event, detail and synthesized with tabs between them; csv has the names
    in its first line, and yaml is one list.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--follow', action='store_true', help='go on until Ctrl-C')
        parser.add_argument(
            '--count', type=_count, metavar='COUNT',
            help='end after so many events')
        parser.add_argument(
            '--server', metavar='SERVER',
            help='only events of the guest with this name or uuid')
        parser.add_argument(
            '--utc', action='store_true', help='show times in UTC')
        parser.add_argument(
            '-f', '--format', choices=sorted(event_line.FORMATS),
            default='table', help='the output format, defaults to table')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        arguments = base.arguments_of(self)
        wish = _wish(parsed_args, arguments.timeout)
        with contextlib.ExitStack() as stack:
            if parsed_args.follow:
                # Ctrl-C is the end that was asked for.
                stack.enter_context(contextlib.suppress(KeyboardInterrupt))
            driver = stack.enter_context(sources.local(arguments))
            inbox = _listen(driver, patient=parsed_args.follow)
            events = watch.take(inbox, wish, self._look(driver))
            shown = self._show(events, parsed_args)
            if not parsed_args.follow and shown != wish.count:
                raise _too_few(shown, wish)

    def _look(self, driver: 'driver_module.LibvirtDriver') -> watch.Look:
        if base.arguments_of(self).verbose_level == 0:
            if not sources.is_served(driver):
                return _look_away
            # Who is served learns by asking that the service has ended.
            return watch.Notes(io.StringIO(), driver.connection_status).look
        return watch.Notes(self.app.stderr, driver.connection_status).look

    def _show(
            self, events: Iterable[event_spec.LifecycleEvent],
            parsed_args: argparse.Namespace) -> int:
        heading = event_line.heading(parsed_args.format)
        if heading:
            self._write(heading)
        shown = 0
        for event in events:
            fields = event_line.fields(event, utc=parsed_args.utc)
            self._write(event_line.FORMATS[parsed_args.format](fields))
            shown += 1
        return shown

    def _write(self, line: str) -> None:
        self.app.stdout.write(f'{line}\n')
        self.app.stdout.flush()


def _count(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(
            f'{text!r} is not a number of 1 or more')
    return value


def _wish(
        parsed_args: argparse.Namespace,
        timeout_s: float | None) -> watch.Wish:
    if parsed_args.follow:
        return watch.Wish(parsed_args.count, timeout_s, parsed_args.server)
    return watch.Wish(parsed_args.count or 1, timeout_s or _TIMEOUT_S,
                      parsed_args.server)


def _listen(
        driver: 'driver_module.LibvirtDriver', *,
        patient: bool) -> watch.Inbox:
    inbox: watch.Inbox = queue.SimpleQueue()
    driver.register_event_listener(inbox.put)
    if not patient:
        # Raises unless libvirt can be reached now.
        driver.get_host_facts()
    driver.init_host(cfg.CONF.host)
    status = driver.connection_status()
    if status.state == watch.CONNECTED and not status.events:
        raise exception.UnsupportedOperation(
            tried='watch guests', reason=f'{status.uri} reports no events')
    return inbox


def _too_few(shown: int, wish: watch.Wish) -> errors.WaitTimeout:
    return errors.WaitTimeout(
        f'{shown} of {wish.count} events came within {wish.timeout_s:g} s',
        'wait longer with --timeout SECONDS, or without end with --follow')


def _look_away() -> None:
    """Look at nothing."""
