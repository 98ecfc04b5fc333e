# SPDX-License-Identifier: Apache-2.0

"""Verbs that wait for a real guest hear of it, and do not ask for it."""

from collections.abc import Mapping
import contextlib
import os
import signal
import threading
import time
from unittest import mock

import libvirt

from benchmarks import counting
from nova_libvirt_driver import exception
from nova_libvirt_driver import ports
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.testing import guests
from nova_libvirt_driver.testing import specs
from tests.functional import guest_base

SNAPSHOT_ID = '5a1f6f0e-52f4-4b8f-9a76-1f6cb33fc1aa'
COPIED_BYTES = 256 << 20
SLOW = {libvirt.VIR_DOMAIN_BLOCK_COPY_BANDWIDTH: 1}
LATE_S = 4.0
"""Long enough for dozens of looks, if there were any."""

counting.listen()


class Killing(ports.NullProgress):
    """Kills QEMU as soon as the copy has begun."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def advance(self, done: int, total: int) -> None:
        if total:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)


class AwaitedTest(guest_base.GuestTestCase):

    def spawn(self, spec: guest_spec.GuestSpec) -> guest_spec.GuestSpec:
        self.driver.spawn(spec)
        self.wait_console(spec, f'{spec.name} is up')
        return spec

    def power_off(self) -> Mapping[str, int]:
        """Let a guest that ignores its button go down late."""
        spec = self.spawn(self.boot_guest('slow'))
        pid = self.host.guest_pid('slow')
        assert pid is not None
        timer = threading.Timer(LATE_S, os.kill, [pid, signal.SIGTERM])
        timer.start()
        self.addCleanup(timer.join)
        with counting.counted() as tally:
            self.driver.power_off(spec, 60, 0)
        self.assertIs(
            instance_spec.PowerState.SHUTDOWN, self.state(spec))
        return tally.by_name

    def snapshot(self) -> Mapping[str, int]:
        """Copy a disk, slowly at first."""
        image = self.images.add(
            guests.boot_sector('big is up').ljust(COPIED_BYTES, b'x'))
        spec = self.spawn(specs.guest_spec('big', image.id))
        begin = libvirt.virDomain.blockCopy
        begun: list[str] = []

        def begin_slowly(
                domain: libvirt.virDomain, disk: str, xml: str,
                params: object, flags: int) -> int:
            status: int = begin(domain, disk, xml, SLOW, flags)
            begun.append(disk)
            return status

        # Not started where the copy begins: that is a native thread, in
        # which a patched timer never runs.
        release = threading.Thread(target=self.release_copy, args=(begun,))
        before_s = time.monotonic()
        with (mock.patch.object(
                libvirt.virDomain, 'blockCopy', begin_slowly),
                counting.counted() as tally):
            release.start()
            self.addCleanup(release.join)
            self.driver.snapshot(spec, SNAPSHOT_ID)
        self.assertIn(SNAPSHOT_ID, self.images.ids)
        self.assertGreater(time.monotonic() - before_s, LATE_S)
        return tally.by_name

    def release_copy(self, begun: list[str]) -> None:
        give_up_s = time.monotonic() + 60
        while not begun and time.monotonic() < give_up_s:
            time.sleep(0.1)
        time.sleep(LATE_S)
        self.host.virsh(
            'blockjob', 'big', 'vda', '--bandwidth', '0', '--bytes')

    def test_the_end_of_a_guest_is_heard_of(self) -> None:
        # Looked at when it is heard of, and not before.
        self.assertEqual(1, self.power_off()['virDomainIsActive'])

    def test_the_end_of_a_copy_is_heard_of(self) -> None:
        # Once when it is heard of, and once at the end: whether there still
        # is a job.
        self.assertEqual(2, self.snapshot()['virDomainGetBlockJobInfo'])

    def test_a_guest_that_dies_ends_the_copy_at_once(self) -> None:
        image = self.images.add(
            guests.boot_sector('big is up').ljust(COPIED_BYTES, b'x'))
        spec = self.spawn(specs.guest_spec('big', image.id))
        pid = self.host.guest_pid('big')
        assert pid is not None

        self.assertRaises(
            exception.WrongState, self.driver.snapshot, spec, SNAPSHOT_ID,
            progress=Killing(pid))


class DeafTest(AwaitedTest):
    """The same where no events arrive but those of the connection."""

    def setUp(self) -> None:
        patch = mock.patch.object(
            libvirt.virConnect, 'domainEventRegisterAny', autospec=True,
            side_effect=self.refuse)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()

    def refuse(self, *arguments: object) -> int:
        error = libvirt.libvirtError('no events here')
        error.err = (libvirt.VIR_ERR_NO_SUPPORT, libvirt.VIR_FROM_QEMU,
                     'no events here', 2, None, None, None, -1, -1)
        raise error

    def test_the_end_of_a_guest_is_heard_of(self) -> None:
        # Looked up, and slowly.
        self.assertIn(
            self.power_off()['virDomainIsActive'], range(1, 12))

    def test_the_end_of_a_copy_is_heard_of(self) -> None:
        self.assertIn(
            self.snapshot()['virDomainGetBlockJobInfo'], range(2, 12))
