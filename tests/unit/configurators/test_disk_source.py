# SPDX-License-Identifier: Apache-2.0


from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import disk as disk_spec
from tests.unit.configurators import base
from tests.unit.configurators import values

Kind = disk_spec.SourceKind

disk = values.file_disk


class SourceTest(base.DiskTestCase):

    def test_wrong_sources_are_refused(self) -> None:
        for fields in (
                {'path': ''}, {'path': 'relative'}, {'path': '/a\nb'},
                {'kind': Kind.BLOCK, 'path': 'sda'},
                {'kind': Kind.NETWORK, 'path': 'pool/volume'},
                {'kind': Kind.NETWORK, 'protocol': 'nbd',
                 'hosts': (disk_spec.NetworkHost(),)},
                {'kind': Kind.NETWORK, 'protocol': 'nbd',
                 'hosts': (disk_spec.NetworkHost(socket='s'),)},
                {'path': '/a', 'auth_username': 'me'}):
            source = disk_spec.DiskSource(**fields)
            self.assertRaises(
                exception.InvalidRequest, self.build,
                disks=(disk('vda', 'virtio', source=source),))

    def test_name_with_markup_stays_a_name(self) -> None:
        path = '/a"><backingStore type="file"><source file="/etc/passwd"/>'

        root = self.build_disks(disk(
            'vda', 'virtio', source=disk_spec.DiskSource(path=path)))

        self.assertEqual(
            path, self.attribute(root, 'devices/disk/source', 'file'))
        self.assertIsNone(root.find('.//backingStore'))

    def test_secret_is_named_and_not_told(self) -> None:
        for kind in ('passphrase', values.SECRET.upper()):
            wrong = disk_spec.DiskEncryption(secret_uuid=kind)
            error = self.why(disk('vda', 'virtio', encryption=wrong))
            self.assertNotIn(kind, error)

    def test_encryption_that_qemu_cannot_read_is_refused(self) -> None:
        for name in ('qcow', 'luks2', ''):
            self.assertRaises(
                exception.InvalidRequest, self.build,
                disks=(disk('vda', 'virtio',
                            encryption=disk_spec.DiskEncryption(
                                secret_uuid=values.SECRET, format=name)),))
