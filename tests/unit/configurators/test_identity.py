# SPDX-License-Identifier: Apache-2.0

from nova_libvirt_driver import exception
from tests.unit.configurators import base
from tests.unit.configurators import values


class IdentityTest(base.FacetTestCase):

    def test_domain_has_the_name_and_uuid_of_the_guest(self) -> None:
        root = self.build(name='web-1')

        self.assertEqual('web-1', root.findtext('name'))
        self.assertEqual(values.UUID, root.findtext('uuid'))

    def test_kind_of_virtualization_is_the_hosts(self) -> None:
        self.assertEqual('qemu', self.build().get('type'))
        self.assertEqual('kvm', self.build(
            host=values.KVM, policy=values.KVM_POLICY).get('type'))

    def test_name_that_makes_no_file_name_is_refused(self) -> None:
        for name in ('', ' ', '.', '..', '../up', 'a/b', ' a', 'x' * 201):
            self.assertRaises(
                exception.InvalidRequest, self.build, name=name)

    def test_control_characters_of_a_name_are_refused(self) -> None:
        for name in ('a\nb', 'a\0b', 'a\x1bb', 'a\x7fb', 'a\ud800b'):
            self.assertIn(
                'characters', self.refusal(
                    exception.InvalidRequest, name=name))

    def test_xml_in_a_name_is_only_a_name(self) -> None:
        name = '</name><os/>&"\'<name>'

        self.assertRaises(exception.InvalidRequest, self.build, name=name)
        self.assertEqual('<os>&"', self.build(
            name='<os>&"').findtext('name'))

    def test_uuid_of_another_form_is_refused(self) -> None:
        for uuid in ('', values.UUID.upper(), values.UUID + '\n', 'x'):
            self.assertRaises(
                exception.InvalidRequest, self.build, uuid=uuid)
