# SPDX-License-Identifier: Apache-2.0

import os
import threading
import time

import fixtures

from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import exception
from nova_libvirt_driver.operations.steps import exclusive
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.storage import journal as journal_module
from tests import base
from tests import owners

GUEST = instance_spec.InstanceRef(
    '11111111-2222-3333-4444-555555555555', 'guest1')
OTHER = instance_spec.InstanceRef(
    '99999999-2222-3333-4444-555555555555', 'guest2')


class ExclusiveTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.path = os.path.join(
            self.useFixture(fixtures.TempDir()).path, 'locks')
        self.locks = exclusive.Exclusive(self.path, 'here', busy_s=0.1)
        self.progress = ports.NullProgress()

    def test_nothing_is_left_behind(self) -> None:
        with self.locks.hold(GUEST, 'spawn', self.progress):
            pass

        self.assertEqual([], os.listdir(self.path))

    def test_a_second_operation_is_told_of_the_first(self) -> None:
        other = exclusive.Exclusive(self.path, 'here', busy_s=0.1)
        with self.locks.hold(GUEST, 'snapshot', self.progress):
            error = self.assertRaises(
                exception.WrongState,
                other.hold(GUEST, 'rescue', self.progress).__enter__)

        self.assertIn('busy with snapshot', str(error))

    def test_other_instances_are_free(self) -> None:
        with self.locks.hold(GUEST, 'snapshot', self.progress):
            with self.locks.hold(OTHER, 'snapshot', self.progress):
                self.assertEqual(2, len(os.listdir(self.path)))

    def test_the_lock_is_free_after_a_failure(self) -> None:
        def fail() -> None:
            with self.locks.hold(GUEST, 'spawn', self.progress):
                raise ValueError()

        self.assertRaises(ValueError, fail)
        with self.locks.hold(GUEST, 'spawn', self.progress):
            pass

    def test_a_deletion_ends_the_operation_under_way(self) -> None:
        begun = threading.Event()
        never = threading.Event()
        ended: list[BaseException] = []

        def snapshot() -> None:
            try:
                with self.locks.hold(GUEST, 'snapshot', self.progress) as told:
                    begun.set()
                    while not never.wait(0.01):
                        told.advance(1, 2)
            except exception.WrongState as error:
                ended.append(error)

        thread = runtime.Thread(target=snapshot)
        thread.start()
        begun.wait(10)
        with self.locks.take_over(GUEST, 'destroy'):
            thread.join(10)
        self.assertIn('being deleted', str(ended[0]))
        self.assertEqual([], os.listdir(self.path))

    def test_a_stop_ends_a_wait_for_the_guest(self) -> None:
        begun = threading.Event()
        ended: list[str] = []

        def detach() -> None:
            with self.locks.hold(GUEST, 'detach', self.progress) as told:
                begun.set()
                deadline = time.monotonic() + 10
                while not ended and time.monotonic() < deadline:
                    told.step('detach')
                    time.sleep(0.01)
                    try:
                        told.give_way()
                    except exception.WrongState as error:
                        ended.append(str(error))

        thread = runtime.Thread(target=detach)
        thread.start()
        begun.wait(10)
        with self.locks.hold(GUEST, 'power off', stopping=True):
            thread.join(10)
        self.assertIn('about to be stopped', ended[0])
        self.assertEqual([], os.listdir(self.path))

    def test_who_is_told_of_the_end_cannot_keep_the_lock(self) -> None:
        touched: list[str] = []

        def touch(uuid: str) -> None:
            touched.append(uuid)
            raise KeyboardInterrupt

        locks = exclusive.Exclusive(self.path, 'here', touch, busy_s=0.1)

        def hold() -> None:
            with locks.hold(GUEST, 'pause', self.progress):
                pass

        self.assertRaises(KeyboardInterrupt, hold)
        self.assertRaises(KeyboardInterrupt, hold)
        self.assertEqual([GUEST.uuid] * 2, touched)

    def test_no_request_to_give_up_is_lost(self) -> None:
        def delete() -> None:
            with self.locks.take_over(GUEST, 'destroy'):
                pass

        for _ in range(100):
            thread = runtime.Thread(target=delete)
            with self.assertRaisesRegex(
                    exception.WrongState, 'being deleted'), self.locks.hold(
                        GUEST, 'snapshot', self.progress) as watched:
                thread.start()
                # It looks all the while, also when the request is half made.
                deadline = time.monotonic() + 10
                while time.monotonic() < deadline:
                    watched.step('copy')
                    time.sleep(0)
            thread.join()

    def test_what_is_no_uuid_makes_no_path(self) -> None:
        evil = instance_spec.InstanceRef('../../etc/passwd', 'x')

        self.assertRaises(
            exception.InvalidRequest,
            self.locks.hold(evil, 'spawn', self.progress).__enter__)

    def test_what_killed_processes_left_stops_nobody(self) -> None:
        os.mkdir(self.path)
        for suffix in ('lock', 'cancel', 'stop'):
            open(os.path.join(
                self.path, f'{GUEST.uuid}@here.{suffix}'), 'w').close()

        with self.locks.hold(GUEST, 'spawn', self.progress) as told:
            told.step('go')
            told.give_way()
            self.assertEqual(
                [f'{GUEST.uuid}@here.lock'], os.listdir(self.path))

    def test_sweeping_leaves_what_is_in_use(self) -> None:
        with self.locks.hold(GUEST, 'spawn', self.progress):
            open(os.path.join(
                self.path, f'{OTHER.uuid}@here.lock'), 'w').close()

            self.locks.sweep()

            self.assertEqual(
                [f'{GUEST.uuid}@here.lock'], os.listdir(self.path))

    def test_hosts_that_share_a_folder_are_kept_apart(self) -> None:
        other = exclusive.Exclusive(self.path, 'there', busy_s=0.1)
        with self.locks.hold(GUEST, 'spawn', self.progress) as told:
            with other.take_over(GUEST, 'destroy'):
                told.step('go')
            os.unlink(os.path.join(self.path, f'{GUEST.uuid}@here.lock'))
            for kind in ('lock', 'cancel'):
                open(os.path.join(
                    self.path, f'{GUEST.uuid}@here.{kind}'), 'w').close()

            other.sweep()

            self.assertEqual(2, len(os.listdir(self.path)))

    def test_what_was_interrupted_is_ended_first(self) -> None:
        ended: list[str] = []

        def settle(
                instance: instance_spec.Instance, *, given_up: bool
        ) -> list[journal_module.Note]:
            ended.append(instance.uuid)
            return []

        locks = exclusive.Exclusive(self.path, 'here', settle=settle)
        with locks.hold(GUEST, 'spawn', self.progress):
            self.assertEqual([], ended)
        owners.journal(self.path).begin(
            'spawn', uuid=GUEST.uuid, name=GUEST.name).release()
        locks = exclusive.Exclusive(
            owners.journal(self.path).folder, 'here', settle=settle)

        with locks.take_over(GUEST, 'destroy'):
            self.assertEqual([], ended)
        with locks.hold(GUEST, 'spawn', self.progress):
            self.assertEqual([GUEST.uuid], ended)
