# SPDX-License-Identifier: Apache-2.0

"""What becomes of the options of ``server create``."""

import argparse
import gzip
import os

from lxml import etree

from nova_libvirt_driver.cli.commands.server import create_options
from nova_libvirt_driver.cli.commands.server import details
from nova_libvirt_driver.cli.commands.server import nics
from nova_libvirt_driver.cli.commands.server import request
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.configurators import inputs
from nova_libvirt_driver.spec import boot as boot_spec
from nova_libvirt_driver.spec import console as console_spec
from nova_libvirt_driver.spec import device as device_spec
from nova_libvirt_driver.spec import disk as disk_spec
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import nic as nic_spec
from nova_libvirt_driver.storage.configdrive import content as config_drive
from nova_libvirt_driver.storage import spec_record
from tests.unit.cli import base
from tests.unit.configurators import base as xml_base
from tests.unit.configurators import values

KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ me@here'


def empty_disc() -> bytes:
    """Return the least of a disc: its descriptors."""
    return bytes(32768) + b'\1CD001\1'.ljust(2048, b'\0') + (
        b'\xffCD001\1').ljust(2048, b'\0')


class RequestTestCase(base.ServerTestCase):
    """Turns options into guests."""

    def setUp(self) -> None:
        super().setUp()
        self.image_id = self.have_image('debian')

    def asked(
            self, *words: str, image: str = 'debian', qemu: bool = True
            ) -> guest_spec.GuestSpec:
        """Return the guest that the options ask for."""
        parser = create_options.add(argparse.ArgumentParser())
        with_image = ('--image', image) if image else ()
        return request.guest(
            parser.parse_args(['web_1', *with_image, *words]),
            request.Surroundings(self.images, qemu=qemu))

    def refused(self, *words: str, image: str = 'debian') -> str:
        """Return why the options are refused."""
        return str(self.assertRaises(
            errors.UsageError, self.asked, *words, image=image))


class RequestTest(RequestTestCase):

    def test_two_requests_are_two_guests(self) -> None:
        one, two = self.asked(), self.asked()

        self.assertNotEqual(one.uuid, two.uuid)
        self.assertNotEqual(one.nics[0].mac, two.nics[0].mac)
        self.assertRegex(one.nics[0].mac, '^52:54:00(:[0-9a-f]{2}){3}$')
        self.assertRegex(one.metadata.created_at,
                         r'^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$')

    def test_without_a_word_there_is_what_needs_no_rights(self) -> None:
        spec = self.asked()

        self.assertEqual(nic_spec.NicKind.USER, spec.nics[0].kind)
        self.assertEqual((), self.asked(qemu=False).nics)
        self.assertEqual((), spec.consoles.graphics)
        self.assertIsNone(spec.devices.video)
        self.assertIsNone(spec.config_drive)

    def test_sizes_are_those_that_were_typed(self) -> None:
        spec = self.asked('--vcpus', '2', '--ram', '64', '--disk', '3',
                          '--swap', '16', '--ephemeral', '1')

        self.assertEqual((2, 64, 3), (
            spec.cpu.vcpus, spec.memory.size_mib, spec.storage.root_gib))
        self.assertEqual(disk_spec.LocalDisk(size_mib=16),
                         spec.storage.swap)
        self.assertEqual((disk_spec.LocalDisk(size_mib=1024),),
                         spec.storage.ephemerals)
        self.assertEqual((16, 1), (spec.metadata.flavor.swap_mib,
                                   spec.metadata.flavor.ephemeral_gib))

    def test_ports_are_forwarded_to_qemus_own_network(self) -> None:
        forward = nic_spec.PortForward(host_port=2222, guest_port=22)
        for words, expected in (
                (('--forward', '2222:22'), [(forward,)]),
                (('--network', 'default', '--network', 'user', '--forward',
                  '2222:22', '--forward', '0.0.0.0:53:5353/udp'), [(), (
                      forward, nic_spec.PortForward(
                          host_port=53, guest_port=5353, address='0.0.0.0',
                          protocol=nic_spec.PortProtocol.UDP))])):
            spec = self.asked(*words)

            self.assertEqual(expected, [nic.forwards for nic in spec.nics])
        error = self.assertRaises(
            errors.UsageError, self.asked, '--network', 'default',
            '--forward', '2222:22')
        self.assertIn('--network user', error.next_step)

    def test_words_that_forward_nothing_are_refused(self) -> None:
        for text in ('22', '0:22', '22:70000', 'a:22', ':22', '1:2/sctp'):
            self.assertRaises(
                argparse.ArgumentTypeError, nics.forward, text)

    def test_networks_are_of_four_kinds(self) -> None:
        spec = self.asked('--network', 'default', '--network', 'bridge=br0',
                          '--network', 'network=lab', '--network', 'user')

        self.assertEqual([
            ('network', 'default'), ('bridge', 'br0'), ('network', 'lab'),
            ('user', '')], [(nic.kind, nic.source) for nic in spec.nics])
        self.assertEqual((), self.asked('--network', 'none').nics)

    def test_a_word_that_is_no_network_is_refused(self) -> None:
        for word in ('bridge=', 'tap=x', '=x', ''):
            with self.subTest(word=word):
                self.assertIn('is not a network',
                              self.refused('--network', word))
        self.assertIn('stands alone', self.refused(
            '--network', 'none', '--network', 'user'))

    def test_hardware_is_chosen_by_options(self) -> None:
        spec = self.asked(
            '--secure-boot', '--machine', 'q35', '--disk-bus', 'scsi',
            '--agent', '--tpm', '--graphics', 'spice', '--serial', 'tcp',
            '--os-type', 'windows')

        self.assertEqual(boot_spec.BootSpec(
            machine='q35', firmware=boot_spec.Firmware.UEFI,
            secure_boot=True), spec.boot)
        self.assertEqual(disk_spec.DiskBus.SCSI, spec.storage.bus)
        self.assertTrue(spec.devices.agent)
        self.assertEqual(device_spec.TpmSpec(), spec.devices.tpm)
        self.assertEqual(console_spec.ConsoleSpec(
            serials=(console_spec.SerialSpec(
                kind=console_spec.SerialKind.TCP),),
            graphics=(console_spec.GraphicsSpec(
                kind=console_spec.GraphicsKind.SPICE),)), spec.consoles)
        self.assertEqual(device_spec.OsType.WINDOWS, spec.features.os_type)

    def test_what_is_typed_wins_over_the_image(self) -> None:
        self.have_image('old', hw_disk_bus='ide', hw_vif_model='e1000',
                        hw_watchdog_action='reset', owner_specified='x')

        spec = self.asked('--property', 'hw_disk_bus=sata', image='old')

        self.assertEqual(disk_spec.DiskBus.SATA, spec.storage.bus)
        self.assertEqual('e1000', spec.nics[0].model)
        self.assertIs(device_spec.WatchdogAction.RESET,
                      spec.devices.watchdog)

    def test_a_property_that_is_wrong_is_refused(self) -> None:
        for name, value in (
                ('hw_disk_bus', 'floppy'), ('hw_boot_menu', 'perhaps'),
                ('hw_tpm_version', '3'), ('os_secure_boot', 'yes'),
                ('os_type', 'beos')):
            self.assertIn(name, self.refused(
                '--property', f'{name}={value}'))
        error = self.assertRaises(
            errors.UsageError, self.asked, '--property', 'hw_disk_buss=ide')

        self.assertIn('did you mean hw_disk_bus', error.next_step)

    def test_an_iso_is_a_disc_unless_told_otherwise(self) -> None:
        self.images.add(self.file('a.iso', empty_disc()), name='cd',
                        disk_format='iso')
        disc, disk = disk_spec.DiskDevice.CDROM, disk_spec.DiskDevice.DISK

        self.assertEqual(disc, self.asked(image='cd').storage.root_device)
        self.assertEqual(0, self.asked(image='cd').storage.root_gib)
        self.assertEqual(disk, self.asked(
            '--boot-from', 'image', image='cd').storage.root_device)
        self.assertIn('--ephemeral', self.assertRaises(
            errors.UsageError, self.asked, '--boot-from', 'cdrom',
            '--vcpus', '1', '--ram', '64', '--disk', '5').next_step)


class KernelTest(RequestTestCase):

    def test_local_files_are_named_by_their_whole_path(self) -> None:
        kernel, initrd = self.file('vmlinuz'), self.file('initrd')

        spec = self.asked('--kernel', kernel, '--initrd', initrd,
                          '--append', 'console=ttyS0', image='')

        self.assertEqual(boot_spec.BootSpec(kernel=boot_spec.KernelBoot(
            kernel=kernel, initrd=initrd, cmdline='console=ttyS0')),
            spec.boot)
        self.assertEqual(('', 0), (
            spec.storage.image_id, spec.storage.root_gib))

    def test_images_are_named_by_their_id(self) -> None:
        kernel = self.have_image('vmlinuz-6')
        initrd = self.have_image('initrd-6')

        spec = self.asked('--kernel', 'vmlinuz-6', '--initrd', 'initrd-6',
                          '--append', 'quiet')

        self.assertEqual(boot_spec.BootSpec(
            kernel_image_id=kernel, ramdisk_image_id=initrd,
            kernel_cmdline='quiet'), spec.boot)

    def test_kernels_that_make_no_sense_are_refused(self) -> None:
        self.have_image('image')
        kernel = self.file('vmlinuz')

        self.assertIn('need --kernel', self.refused('--append', 'quiet'))
        self.assertIn('two images', self.assertRaises(
            errors.UsageError, self.asked, '--kernel', kernel,
            '--initrd', 'image').next_step)
        self.assertIn('no file ./nowhere',
                      self.refused('--kernel', './nowhere'))


class ContentTest(RequestTestCase):

    def test_what_is_given_is_on_the_config_drive(self) -> None:
        spec = self.asked(
            '--user-data', self.file('u', '#cloud-config\n'),
            '--file', '/etc/motd=' + self.file('m', b'\xff'),
            '--key', self.file('id.pub', f'{KEY}\n'))

        drive = spec.config_drive
        assert drive is not None
        self.assertEqual('#cloud-config\n', drive.user_data)
        self.assertEqual({'id': KEY}, drive.public_keys)
        self.assertEqual([('/etc/motd', b'\xff')], [
            (file.path, file.content) for file in drive.files])
        self.assertEqual('web-1', drive.hostname)

    def test_a_config_drive_can_be_asked_for_alone(self) -> None:
        self.assertIsNotNone(self.asked('--config-drive').config_drive)

    def test_what_cannot_be_given_is_refused(self) -> None:
        for words, told in (
                (('--user-data', '/nonexistent'), 'No such file'),
                (('--user-data', self.file('b', os.urandom(49152))),
                 'may have 49149'),
                (('--user-data', self.file('l', b'x' * (1 << 20) + b'y')),
                 'larger than 1 MiB'),
                (('--file', f'motd={self.file("m")}'),
                 "'motd' is not the path of a file in the guest"),
                (('--key', self.file(
                    'id', '-----BEGIN OPENSSH PRIVATE KEY-----')),
                 'a private key'),
                (('--key', self.file('x', 'hello')), 'one public key')):
            with self.subTest(words=words):
                self.assertIn(told, self.refused(*words))

    def test_user_data_may_be_any_bytes(self) -> None:
        mime = ('MIME-Version: 1.0\r\nContent-Type: multipart/mixed; '
                'boundary="x"\r\n\r\n--x--\r\n').encode()
        for content in (
                gzip.compress(b'#cloud-config\n'),
                '#cloud-config\n# Größe\n'.encode('latin-1'),
                bytes(range(256)), mime, os.urandom(49149)):
            with self.subTest(content=content[:20]):
                spec = self.asked('--user-data', self.file('u', content))

                kept = spec_record.loads(spec_record.dumps(spec))
                self.assertEqual(content, config_drive.files(
                    kept, random_seed=b'')['openstack/latest/user_data'])

    def test_user_data_is_not_in_what_is_logged(self) -> None:
        spec = self.asked('--user-data', self.file('u', 'canary'))

        self.assertNotIn('canary', repr(spec))


class DomainTest(RequestTestCase):

    def test_what_can_be_typed_makes_a_domain_that_libvirt_takes(
            self) -> None:
        schema = etree.RelaxNG(file=str(xml_base.SCHEMA))
        for words in (
                (), ('--graphics', 'vnc', '--agent', '--tpm'),
                ('--secure-boot', '--machine', 'q35', '--disk-bus', 'sata'),
                ('--firmware', 'uefi', '--graphics', 'spice'),
                ('--network', 'default', '--network', 'bridge=br0'),
                ('--os-type', 'windows', '--property', 'hw_pmu=no',
                 '--property', 'hw_watchdog_action=reset',
                 '--property', 'hw_rng_model=virtio')):
            with self.subTest(words=words):
                host = values.Q35 if 'q35' in words else values.PC

                xml = xml_base.build(inputs.Inputs(
                    spec=self.asked(*words), host=host,
                    policy=values.QEMU_POLICY, disks=(values.ROOT,),
                    console_log='/instances/console.log'))

                self.assertTrue(schema.validate(etree.fromstring(xml)),
                                schema.error_log)
                self.assertEqual(
                    'web_1', details.fields(
                        xml, 'new', self.images)['name'].machine_readable())
