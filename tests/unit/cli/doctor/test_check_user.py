# SPDX-License-Identifier: Apache-2.0

"""What ``doctor`` says of the user of the service."""

from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.cli.doctor import check_user
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver import exception
from tests import base
from tests.unit.cli.doctor import links

GID = 64055
CAPABILITIES = f"""
<capabilities><host><secmodel><model>dac</model>
<baselabel type='qemu'>+64055:+{GID}</baselabel></secmodel></host>
</capabilities>"""


def _refuse() -> None:
    raise exception.PrivilegesMissing(
        user='nova', tried='read', path='x', reason='a password is required')


class PrivilegesTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.link = links.link(capabilities=CAPABILITIES)

    def check(
            self, link: check_connection.Link,
            name: str = 'nova') -> checks.Check:
        return check_user.privileges(link, name=name, start=_refuse)

    def test_a_user_without_rights_hears_what_will_not_work(self) -> None:
        found = self.check(self.link)

        self.assertIs(checks.Status.WARNING, found.status)
        self.assertIn('a password is required', found.detail)
        self.assertIn('console logs', found.detail)
        self.assertIn('let the user nova run privsep-helper', found.fix)

    def test_a_user_with_a_way_to_them_is_fine(self) -> None:
        found = check_user.privileges(
            self.link, name='nova', start=lambda: None)

        self.assertIs(checks.Status.OK, found.status)

    def test_root_needs_no_other_process(self) -> None:
        self.assertIs(
            checks.Status.OK, self.check(self.link, 'root').status)

    def test_it_does_not_matter_where_qemu_is_the_same_user(self) -> None:
        for uri in ('qemu:///embed?root=/x', 'qemu+ssh://other/system'):
            self.assertIs(checks.Status.SKIPPED, self.check(links.link(
                uri=uri, capabilities=CAPABILITIES)).status, uri)


class GroupTest(base.TestCase):

    def test_the_user_has_to_be_in_the_group_of_qemu(self) -> None:
        link = links.link(capabilities=CAPABILITIES)

        for groups, status in (([GID], checks.Status.OK),
                               ([1], checks.Status.WARNING)):
            found = check_user.group(
                link, 'qemu', name='nova', groups=groups)
            self.assertIs(status, found.status, found.detail)

    def test_nothing_is_said_where_libvirt_names_no_group(self) -> None:
        found = check_user.group(
            links.link(capabilities='<capabilities/>'),
            'qemu', name='nova', groups=[])

        self.assertIs(checks.Status.SKIPPED, found.status)
