# SPDX-License-Identifier: Apache-2.0

"""Nova's metadata is read whatever its prefix, and written with Nova's."""

from nova_libvirt_driver.xmlmodel import domain
from tests import base

_WRITTEN = '''<domain><metadata>
  <other:app xmlns:other="urn:other">kept</other:app>
  <n:instance xmlns:n="http://openstack.org/xmlns/libvirt/nova/1.1">
    <n:package version="32.0.0"/>
    <n:name>web</n:name>
    <n:creationTime>2026-11-25 12:00:00</n:creationTime>
    <n:flavor name="small" id="7">
      <n:memory>2048</n:memory><n:disk>20</n:disk><n:swap>0</n:swap>
      <n:ephemeral>0</n:ephemeral><n:vcpus>2</n:vcpus>
      <n:extraSpecs><n:extraSpec name="hw:x">y</n:extraSpec></n:extraSpecs>
    </n:flavor>
    <n:owner><n:user uuid="u1">alice</n:user>
      <n:project uuid="p1">demo</n:project></n:owner>
    <n:root type="image" uuid="i1"/>
    <n:ports><n:port uuid="q1">
      <n:ip type="fixed" address="192.0.2.1" ipVersion="4"/>
    </n:port></n:ports>
  </n:instance>
</metadata></domain>'''


class MetadataTest(base.TestCase):

    def test_what_an_old_nova_wrote_is_read(self) -> None:
        for old in ('1.0', '1.2'):
            one = domain.Domain.parse(
                _WRITTEN.replace('/1.1', f'/{old}')).instance

            self.assertEqual(
                ('web', 'small', 2048, 'i1'),
                (one.display_name, one.flavor.name, one.flavor.memory_mib,
                 one.root_uuid))

    def test_what_another_wrote_is_read(self) -> None:
        one = domain.Domain.parse(_WRITTEN).instance

        self.assertEqual(
            ('32.0.0', 'web', '2026-11-25 12:00:00', 'alice', 'u1', 'demo',
             'p1', 'image', 'i1'),
            (one.package_version, one.display_name, one.creation_time,
             one.user, one.user_uuid, one.project, one.project_uuid,
             one.root_type, one.root_uuid))

    def test_the_flavor_is_read(self) -> None:
        one = domain.Domain.parse(_WRITTEN).instance.flavor

        self.assertEqual(
            ('small', '7', 2048, 20, 0, 0, 2),
            (one.name, one.id, one.memory_mib, one.disk_gib, one.swap_mib,
             one.ephemeral_gib, one.vcpus))
        self.assertEqual([('hw:x', 'y')], [
            (extra.name, extra.value) for extra in one.extra_specs])

    def test_ports_are_read(self) -> None:
        port, = domain.Domain.parse(_WRITTEN).instance.ports

        self.assertEqual('q1', port.uuid)
        self.assertEqual([('fixed', '192.0.2.1', '4')], [
            (ip.type, ip.address, ip.version) for ip in port.ips])

    def test_it_goes_and_leaves_what_others_wrote(self) -> None:
        made = domain.Domain.parse(_WRITTEN)

        made.instance = None

        self.assertIsNone(made.instance.display_name)
        self.assertIn('>kept</other:app>', made.to_xml())

    def test_a_name_like_ours_in_no_namespace_is_not_ours(self) -> None:
        made = domain.Domain.parse(
            '<domain><metadata><instance><name>no</name></instance>'
            '</metadata></domain>')

        self.assertIsNone(made.instance.display_name)

    def test_it_is_written_with_the_prefix_of_nova(self) -> None:
        made = domain.Domain()

        made.instance.display_name = 'web'

        text = made.to_xml(pretty=False)
        self.assertIn('xmlns:nova="http://openstack.org/xmlns/libvirt/nova/'
                      '1.1"', text)
        self.assertIn('><nova:name>web</nova:name></nova:instance>', text)
