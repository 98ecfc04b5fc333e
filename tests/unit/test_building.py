# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver import building
from nova_libvirt_driver import conf
from nova_libvirt_driver import driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import cpu
from nova_libvirt_driver.spec import flavor
from nova_libvirt_driver.spec import instance
from nova_libvirt_driver.spec import nic
from nova_libvirt_driver import version
from tests import base


class GuestTest(base.TestCase):

    def test_what_is_said_once_is_everywhere(self) -> None:
        made = building.guest('one', image_id='i', vcpus=2, memory_mib=64,
                              root_gib=3)

        sizes = made.metadata.flavor
        self.assertTrue(instance.is_uuid(made.uuid))
        self.assertEqual(
            ('one', 'one', 'i', 'i', version.version()),
            (made.name, made.metadata.display_name, made.storage.image_id,
             made.metadata.image_id, made.metadata.package_version))
        self.assertEqual(
            [(2, 64, 3)] * 2,
            [(made.cpu.vcpus, made.memory.size_mib, made.storage.root_gib),
             (sizes.vcpus, sizes.memory_mib, sizes.root_gib)])
        self.assertRegex(made.metadata.created_at, r'^\d{4}-.*:\d\d$')

    def test_each_is_another_one(self) -> None:
        self.assertNotEqual(building.guest('a').uuid, building.guest('a').uuid)

    def test_a_flavor_and_parts_are_taken_as_they_are(self) -> None:
        sizes = flavor.Flavor(name='big', vcpus=8, memory_mib=1024)
        card = nic.NicSpec(mac='52:54:00:00:00:01')

        made = building.guest(
            'one', flavor=sizes, nics=(card,),
            cpu=cpu.CpuSpec(vcpus=8, mode=cpu.CpuMode.HOST_MODEL))

        self.assertEqual((sizes, (card,), 1024, cpu.CpuMode.HOST_MODEL), (
            made.metadata.flavor, made.nics, made.memory.size_mib,
            made.cpu.mode))
        self.assertRaises(TypeError, building.guest, 'one', colour='red')


class ConfigTest(base.TestCase):

    def test_two_drivers_have_options_of_their_own(self) -> None:
        uris = ['test:///one', 'test:///two']

        made = [driver.LibvirtDriver(config={
            'DEFAULT': {'my_ip': f'192.0.2.{number}'},
            'libvirt': {'connection_uri': uri}})
            for number, uri in enumerate(uris)]

        self.assertEqual(uris, [one.uri() for one in made])
        self.assertEqual('192.0.2.1', made[1].get_host_ip_addr())
        self.assertNotIn(driver.LibvirtDriver().uri(), uris)

    def test_what_is_no_option_or_no_value_is_named(self) -> None:
        wrong: list[tuple[conf.Options, str]] = [
            ({'libvirt': {'uri': 'x'}}, '[libvirt] uri'),
            ({'qemu': {'uri': 'x'}}, '[qemu] uri'),
            ({'libvirt': {'virt_type': 'vax'}}, '[libvirt] virt_type')]
        for options, told in wrong:
            with self.subTest(options=options):
                error = self.assertRaises(
                    exception.InvalidConfiguration, driver.LibvirtDriver,
                    config=options)

                self.assertIn(told, str(error))
