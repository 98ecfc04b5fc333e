# SPDX-License-Identifier: Apache-2.0

"""The service's local socket: verbs, errors, and ends that come early."""

import ast
from collections.abc import Callable
import ctypes
import json
import os
import pathlib
import socket
import threading
import time
from typing import Any

import fixtures

from nova_libvirt_driver.cli import commands
from nova_libvirt_driver.compute import local_server
from nova_libvirt_driver.compute import remote
from nova_libvirt_driver.compute import verbs
from nova_libvirt_driver import exception
from nova_libvirt_driver.images import local as local_images
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import event as event_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import fake_guest_driver
from nova_libvirt_driver.testing import fake_ports
from nova_libvirt_driver.testing import specs
from tests import base

HOST = 'h1'
UUID = '5d1f7f5c-6b1e-4d8a-9c41-2f6f5e0a7b11'
NOBODY = 65534
_SETRESUID = {'x86_64': 117, 'aarch64': 147}[os.uname().machine]


class Driver(fake_guest_driver.GuestDriver):
    """A driver whose snapshot goes on until it is cancelled."""

    def __init__(self, virtapi: Any) -> None:
        super().__init__(virtapi)
        self.at_work = threading.Event()
        self.ended: list[str] = []

    def snapshot(
            self, instance: instance_spec.Instance, image_id: str, *,
            images: ports.ImageSource | None = None, name: str = '',
            require_quiesce: bool | None = None,
            progress: ports.Progress = ports.NullProgress()) -> None:
        try:
            while True:
                self.at_work.set()
                progress.advance(1, 2)
                # In an eventlet process this lets the others run.
                time.sleep(0.01)
        except local_server.Gone as error:
            self.ended.append(str(error))
            raise

    def rename(
            self, instance: instance_spec.Instance,
            display_name: str) -> None:
        raise KeyError('surprise')


class ServedTestCase(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.folder = self.useFixture(fixtures.TempDir()).path
        self.path = f'{self.folder}/service.sock'
        self.log = self.useFixture(fixtures.FakeLogger())
        self.inner = Driver(ports.VirtAPI(
            ports.NullNotifier(), ports.NullServiceState(),
            local_images.LocalImages(f'{self.folder}/images')))
        self.listeners: set[ports.LifecycleListener] = set()
        self.server = local_server.LocalServer(
            self.path, verbs.Endpoint(
                HOST, self.inner, lambda: {'host': HOST}), self.listeners)
        self.server.start()
        self.addCleanup(self.server.stop)
        self.client = remote.LocalClient(self.path, HOST)
        self.driver: Any = remote.RemoteDriver(self.client)

    def have_guest(self) -> guest_spec.GuestSpec:
        spec = specs.guest_spec('web1')
        self.inner.spawn(spec)
        return spec

    def snapshot(self, raising: Callable[[], object]) -> None:
        """Ask for what never ends by itself, and fail at the first word."""
        class Progress(ports.NullProgress):
            def advance(self, done: int, total: int) -> None:
                raising()

        self.driver.snapshot(self.have_guest(), 'an-id', name='monday',
                             progress=Progress())


class VerbTest(ServedTestCase):

    def test_a_guest_is_made_found_and_removed(self) -> None:
        spec = specs.guest_spec('web1')

        self.driver.spawn(spec)
        row, = self.driver.list_instance_summaries()
        found = self.driver.get_spec(row)
        self.driver.destroy(row)

        self.assertEqual(spec, found)
        self.assertEqual(self.inner.list_instance_summaries(), [])
        self.assertEqual((spec.uuid, 'web1'), (row.uuid, row.name))

    def test_every_answer_has_its_own_types_again(self) -> None:
        spec = self.have_guest()
        for method, *arguments in (
                ('uri',), ('connection_status',), ('get_host_facts',),
                ('get_available_nodes',), ('get_available_resource', 'n'),
                ('get_info', spec), ('list_instance_summaries',),
                ('get_domain_xml', spec), ('get_spec', spec)):
            here = getattr(self.inner, method)(*arguments)
            there = getattr(self.driver, method)(*arguments)

            self.assertEqual(here, there, method)

    def test_bytes_arrive_as_they_were(self) -> None:
        spec = self.have_guest()
        printed = b'\x00\xff hello \x1b[1m'
        self.inner.consoles[spec.uuid] = [printed]

        self.assertEqual(printed, self.driver.get_console_output(spec))

    def test_errors_come_back_as_their_class(self) -> None:
        ref = instance_spec.InstanceRef(UUID, 'web9')

        error = self.assertRaises(
            exception.InstanceNotFound, self.driver.get_spec, ref)

        self.assertIn('nova-libvirt server list', error.next_step)

    def test_a_fault_of_the_service_is_one_line(self) -> None:
        error = self.assertRaises(
            exception.DriverError, self.driver.rename, self.have_guest(),
            'web2')

        self.assertIn('unexpected KeyError', str(error))
        self.assertIn('Traceback', self.log.output)

    def test_what_cannot_be_sent_is_refused_here(self) -> None:
        self.assertRaises(
            TypeError, self.driver.spawn, specs.guest_spec('web1'),
            images=ports.NullImages())
        self.assertRaises(AttributeError, lambda: self.driver.emit_event)

    def test_events_are_passed_on(self) -> None:
        seen: list[event_spec.LifecycleEvent] = []
        self.driver.register_event_listener(seen.append)
        event = event_spec.LifecycleEvent(
            uuid=UUID, name='web1', generation=1, timestamp=1.5,
            transition=event_spec.Transition.STARTED)

        for listener in self.listeners:
            listener(event)

        fake_ports.wait_until(lambda: seen == [event], 'the event')


class CommandTest(base.TestCase):

    def test_the_service_has_what_commands_call(self) -> None:
        called = {
            node.func.attr
            for path in pathlib.Path(commands.__path__[0]).rglob('*.py')
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == 'driver'}

        self.assertGreater(len(called), 20)
        self.assertEqual(
            set(), called - verbs.READING - verbs.CHANGING
            - vars(remote.RemoteDriver).keys())


class StrangeRequestTest(ServedTestCase):

    def ask(self, line: bytes) -> Any:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.settimeout(30)
            caller.connect(self.path)
            caller.sendall(line)
            with caller.makefile('rb') as file:
                kind, *_ = json.loads(file.readline())['error']
                return kind

    def test_what_makes_no_sense_is_refused(self) -> None:
        for line in (b'\n', b'[]\n', b'{"method": "spawn"}\n', b'\xff\n',
                     b'{"method": "__init__", "arguments": {}}\n',
                     b'{"method": "uri", "arguments": []}\n',
                     b'{"method": "uri", "arguments": {"a": 1}}\n',
                     b'{"method": "spawn", "arguments": {"spec": 3}}\n',
                     b'{"method": "pause", "arguments": {"instance": {}}}\n',
                     b'{"method": "pause", "arguments": {"instance": []}}\n',
                     b'{"method": "reboot", "arguments": {"spec": 1, '
                     b'"reboot_type": "SOFT"}}\n'):
            self.assertEqual('InvalidRequest', self.ask(line), str(line))

    def test_other_users_are_refused(self) -> None:
        if os.geteuid() != 0:
            self.skipTest('to be another user needs root')
        if base.eventlet_mode():
            self.skipTest('green threads are all of one user')
        # By descriptor, as the folders above are for nobody else.
        folder = os.open(self.folder, os.O_PATH)
        self.addCleanup(os.close, folder)
        os.chmod(self.folder, 0o755)
        os.chmod(self.path, 0o777)
        self.path = f'/proc/self/fd/{folder}/service.sock'
        said: list[str] = []

        def ask() -> None:
            # The system call itself is for one thread alone.
            ctypes.CDLL(None).syscall(_SETRESUID, -1, NOBODY, -1)
            said.append(self.ask(b'{}\n'))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

        self.assertEqual(['OperationRefused'], said)

    def test_a_file_of_a_killed_service_is_replaced(self) -> None:
        self.server.stop()
        pathlib.Path(self.path).touch()

        self.server.start()

        self.assertEqual(self.inner.uri(), self.driver.uri())


class EndTest(ServedTestCase):

    def test_an_interrupted_command_cancels_its_verb(self) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, self.snapshot, interrupt)

        self.assertEqual(['the command was interrupted'], self.inner.ended)

    def test_a_command_that_goes_away_cancels_its_verb(self) -> None:
        def fail() -> None:
            raise RuntimeError('killed')

        self.assertRaises(RuntimeError, self.snapshot, fail)

        fake_ports.wait_until(lambda: bool(self.inner.ended), 'its end')

    def test_a_service_that_stops_says_what_became_of_it(self) -> None:
        def stop() -> None:
            threading.Thread(target=self.server.stop).start()

        error = self.assertRaises(
            exception.Cancelled, self.snapshot, stop)

        self.assertIn('the service was stopped', str(error))

    def test_a_service_that_is_killed_is_told_apart(self) -> None:
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        path = f'{self.folder}/killed.sock'
        listening.bind(path)
        listening.listen()
        threading.Thread(target=lambda: listening.accept()[0].close(),
                         daemon=True).start()
        driver: Any = remote.RemoteDriver(remote.LocalClient(path, HOST))

        error = self.assertRaises(
            exception.ServiceLost, driver.destroy, specs.guest_spec('web1'))

        listening.close()
        self.assertIn('answered to destroy', str(error))

    def test_nothing_answers_where_nothing_is(self) -> None:
        driver: Any = remote.RemoteDriver(
            remote.LocalClient(f'{self.folder}/none.sock', HOST))

        self.assertRaises(exception.ServiceLost, driver.uri)
