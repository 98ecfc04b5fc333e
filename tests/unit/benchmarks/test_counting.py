# SPDX-License-Identifier: Apache-2.0

import libvirt

from benchmarks import counting
from tests import base


class CountingTest(base.TestCase):

    def test_what_asks_nobody_is_local(self) -> None:
        for name in ('virDomainGetName', 'virDomainGetUUIDString',
                     'virDomainGetID', 'virDomainFree', 'virConnectIsAlive',
                     'virGetLastError', 'virNodeDeviceGetName'):
            self.assertTrue(counting.is_local(name), name)
        for name in ('virDomainGetState', 'virConnectGetHostname',
                     'virDomainLookupByUUIDString', 'virDomainGetXMLDesc',
                     'virConnectGetAllDomainStats', 'virNodeGetInfo'):
            self.assertFalse(counting.is_local(name), name)

    def test_calls_of_any_object_are_counted(self) -> None:
        connection = libvirt.open('test:///default')
        self.addCleanup(connection.close)

        with counting.counted() as tally:
            for domain in connection.listAllDomains():
                domain.name()
                domain.state()
        connection.getHostname()

        self.assertEqual({'virConnectListAllDomains': 1,
                          'virDomainGetState': 1}, tally.by_name)
        self.assertEqual(2, tally.calls)
        self.assertGreaterEqual(tally.local_calls, 1)

    def test_errors_are_still_those_of_libvirt(self) -> None:
        connection = libvirt.open('test:///default')
        self.addCleanup(connection.close)

        with counting.counted():
            error = self.assertRaises(
                libvirt.libvirtError, connection.lookupByName, 'nobody')

        self.assertEqual(libvirt.VIR_ERR_NO_DOMAIN, error.get_error_code())
