# SPDX-License-Identifier: Apache-2.0

import libvirt

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import block
from tests import guests
from tests.unit.guest import handles


class DiskTest(handles.HandleTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.guest = self.add_guest()
        self.disk = self.find().disk('vda')

    def test_copy_is_ready_when_libvirt_says_so(self) -> None:
        self.assertIsNone(self.disk.job())

        self.disk.copy('/i/copy', 'qcow2')
        job = self.guest.jobs['vda']
        seen = [self.disk.job()]
        job.done = job.total = 7
        seen.append(self.disk.job())
        job.ready = True
        seen.append(self.disk.job())

        self.assertEqual('/i/copy', job.path)
        self.assertEqual([
            block.BlockJob(0, 0, ready=False),
            block.BlockJob(7, 7, ready=False),
            block.BlockJob(7, 7, ready=True)], seen)

    def test_copy_that_is_not_ready_is_no_pivot(self) -> None:
        self.disk.copy('/i/copy', 'raw')

        self.assertRaises(exception.LibvirtFailure, self.disk.pivot)
        self.guest.jobs['vda'].ready = True
        self.disk.pivot()

        self.assertEqual({}, self.guest.jobs)

    def test_abort_ends_the_job_and_may_be_repeated(self) -> None:
        self.disk.copy('/i/copy', 'raw')

        self.disk.abort()
        self.disk.abort()

        self.assertIsNone(self.disk.job())

    def test_abort_that_fails_is_told(self) -> None:
        self.disk.copy('/i/copy', 'raw')
        self.hypervisor.fail_next('blockJobAbort', guests.failure(
            libvirt.VIR_ERR_INTERNAL_ERROR))

        self.assertRaises(exception.LibvirtFailure, self.disk.abort)

    def test_job_ends_with_the_guest(self) -> None:
        self.disk.copy('/i/copy', 'raw')
        self.find().destroy()

        self.disk.abort()

        self.assertRaises(exception.WrongState, self.disk.job)
        self.assertRaises(exception.WrongState, self.disk.resize, 1 << 30)

    def test_unknown_disk_is_a_failure(self) -> None:
        disk = self.find().disk('vdz')

        self.assertRaises(exception.LibvirtFailure, disk.copy, '/x', 'raw')
        self.assertRaises(exception.LibvirtFailure, disk.resize, 1 << 30)
