# SPDX-License-Identifier: Apache-2.0

"""Consoles: their logs, their addresses, a terminal joined to one."""

import os
import pty
import socket
import termios

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver.cli.commands.server import attach
from nova_libvirt_driver.cli.commands.server import console
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_ports
from tests import base
from tests.unit.cli import base as cli_base

_XML = ("<domain id='1'><name>a</name><devices><serial type='{}'>"
        '<source {}/></serial></devices></domain>')
PTY_XML = _XML.format('pty', "path='/dev/pts/7'")
TCP_XML = _XML.format('tcp', "mode='bind' host='127.0.0.1' service='10000'")


class LogTest(cli_base.ServerTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.uuid, = self.have('a')

    def log(self, *arguments: str) -> cli_base.Result:
        """Print the log."""
        return self.type('server', 'console', 'log', 'a', *arguments)

    def test_what_a_server_printed_is_harmless(self) -> None:
        self.driver.consoles[self.uuid] = [b'one\r\n\x1b]0;x\x07two\x1b[2J\n']

        self.assertEqual(cli_base.Result(0, 'one\ntwo\n', ''), self.log())

    def test_the_last_lines_can_be_chosen(self) -> None:
        self.driver.consoles[self.uuid] = [b'one\ntwo\nlogin: ']

        for number, shown in (
                ('0', ''), ('2', 'two\nlogin: '), ('9', 'one\ntwo\nlogin: ')):
            with self.subTest(number=number):
                self.assertEqual(shown, self.log('--lines', number).stdout)

    def test_following_prints_each_byte_once(self) -> None:
        outputs = [b'one\n', b'one\ntwo', b'one\ntwo three\n']

        def printed(instance: instance_spec.Instance) -> bytes:
            if not outputs:
                # As Ctrl-C does.
                raise KeyboardInterrupt
            return outputs.pop(0)

        self.driver.get_console_output = (  # type: ignore[method-assign]
            printed)

        result = self.log('--follow')

        self.assertEqual((0, 'one\ntwo three\n'),
                         (result.code, result.stdout))

    def test_a_server_without_a_log_is_a_conflict(self) -> None:
        result = self.log()

        self.assertEqual(4, result.code)
        self.assertIn('nothing is recorded', result.stderr)


class TailTest(base.TestCase):

    def test_only_what_is_new_is_returned(self) -> None:
        for output, new in (
                (b'abc', b''), (b'abcd', b'd'),
                # It has been begun anew.
                (b'xy', b'xy')):
            with self.subTest(output=output):
                self.assertEqual(new, console.Tail(b'abc').new(output))

    def test_a_window_that_moves_loses_and_repeats_nothing(self) -> None:
        text = b''.join(b'line %d\n' % number for number in range(2000))
        window, shown = 9000, b''
        tail = console.Tail(b'')

        for end in range(100, len(text), 777):
            shown += tail.new(text[max(0, end - window):end])

        self.assertEqual(text[:len(shown)], shown)
        self.assertGreater(len(shown), window)


class UrlTest(cli_base.ServerTestCase):

    def url(self, *arguments: str) -> cli_base.Result:
        """Ask for the address of a console."""
        return self.type('server', 'console', 'url', 'a', *arguments)

    def test_each_kind_has_its_scheme(self) -> None:
        self.have('a')
        for kind, host, url in (
                ('vnc', '127.0.0.1', 'vnc://127.0.0.1:5900\n'),
                ('spice', '::1', 'spice://[::1]:5900\n'),
                ('serial', '192.0.2.1', 'tcp://192.0.2.1:5900\n')):
            with self.subTest(kind=kind):
                self.driver.addresses = {
                    kind: console_spec.ConsoleAddress(host, 5900)}

                self.assertEqual(url, self.url('--type', kind).stdout)
                self.assertEqual(url, self.url().stdout)

    def test_a_console_that_is_not_there_is_a_conflict(self) -> None:
        self.have('a')

        for arguments in (('--type', 'vnc'), ()):
            with self.subTest(arguments=arguments):
                self.assertEqual(4, self.url(*arguments).code)


class PlaceTest(base.TestCase):

    def test_the_port_is_read_from_the_xml(self) -> None:
        self.assertEqual(
            attach.Place(path='/dev/pts/7'),
            attach.place(PTY_XML, 'qemu:///system', 'a'))
        self.assertEqual(
            attach.Place(host='127.0.0.1', port=10000),
            attach.place(TCP_XML, 'qemu:///system', 'a'))

    def test_a_terminal_of_another_machine_is_not_opened(self) -> None:
        for uri in ('qemu+ssh://h2/system', 'qemu+tls://h2/system'):
            with self.subTest(uri=uri):
                self.assertRaises(
                    errors.UsageError, attach.place, PTY_XML, uri, 'a')

    def test_a_stopped_server_has_no_console(self) -> None:
        for xml in (PTY_XML.replace(" id='1'", ''),
                    _XML.format('pty', "path='/dev/pts/../sda'"),
                    _XML.format('null', '')):
            with self.subTest(xml=xml):
                self.assertRaises(
                    exception.ConsoleUnavailable, attach.place, xml,
                    'qemu:///system', 'a')


class AttachTest(cli_base.ServerTestCase):

    def test_only_a_terminal_can_be_attached(self) -> None:
        self.have('a')

        result = self.type('server', 'console', 'attach', 'a')

        self.assertEqual(2, result.code)
        self.assertIn('to a terminal only', result.stderr)
        self.assertIn('console log a --follow', result.stderr)


class TalkTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.keyboard, self.terminal = pty.openpty()
        # Others must run while there is nothing to read.
        os.set_blocking(self.keyboard, False)
        self.addCleanup(os.close, self.keyboard)
        self.addCleanup(os.close, self.terminal)
        self.guest, self.ours = socket.socketpair()
        self.addCleanup(self.guest.close)
        self.addCleanup(self.ours.close)
        self.guest.settimeout(30)

    def talk(self) -> runtime.Thread:
        """Begin to talk, on a thread."""
        thread = runtime.Thread(target=attach.talk, args=(
            self.ours.fileno(), self.terminal, self.terminal))
        thread.start()
        return thread

    def shown(self) -> bytes:
        """Return what the terminal shows, when it shows something."""
        def read() -> bytes:
            try:
                return os.read(self.keyboard, 100)
            except BlockingIOError:
                return b''

        found: bytes = fake_ports.wait_until(read, 'something is shown')
        return found

    def test_bytes_go_both_ways_until_the_escape(self) -> None:
        before = termios.tcgetattr(self.terminal)
        self.guest.sendall(b'login: ')
        thread = self.talk()

        shown = self.shown()
        os.write(self.keyboard, b'root\x03\r\x1dexit\r')
        typed = self.guest.recv(100)
        thread.join(30)

        self.assertEqual((b'login: ', b'root\x03\r'), (shown, typed))
        self.assertFalse(thread.is_alive())
        self.assertEqual(before, termios.tcgetattr(self.terminal))

    def test_the_end_of_the_guest_ends_it(self) -> None:
        thread = self.talk()

        self.guest.close()
        thread.join(30)

        self.assertFalse(thread.is_alive())

    def test_a_pseudo_terminal_is_opened_and_closed(self) -> None:
        name = os.ttyname(self.terminal)

        with attach.opened(attach.Place(path=name)) as descriptor:
            os.write(descriptor, b'x')

        self.assertEqual(b'x', self.shown())
        self.assertRaises(OSError, os.fstat, descriptor)
