# SPDX-License-Identifier: Apache-2.0

"""Making servers from the command line."""

from unittest import mock

from lxml import etree

from nova_libvirt_driver import exception
from nova_libvirt_driver.spec import guest as guest_spec
from nova_libvirt_driver.spec import instance as instance_spec
from nova_libvirt_driver.spec import nic as nic_spec
from tests.unit.cli import base


class CreateTest(base.ServerTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.image_id = self.have_image('debian')

    def made(self, *arguments: str) -> guest_spec.GuestSpec:
        """Make a server; return what the driver was asked for."""
        self.answer('server', 'create', 'web1', *arguments)
        spec, = self.driver.specs.values()
        return spec

    def test_a_server_is_made_and_shown(self) -> None:
        shown = self.answer('server', 'create', 'web1', '--image', 'debian')

        spec, = self.driver.specs.values()
        self.assertEqual(
            [spec.uuid, 'web1', 'running', 'debian', self.image_id, 'small',
             2048],
            [shown[name] for name in ('id', 'name', 'status', 'image',
                                      'image_id', 'flavor', 'memory_mib')])
        self.assertEqual([False], self.read_only)

    def test_a_name_or_image_that_cannot_be_makes_nothing(self) -> None:
        self.have('taken')
        image = ('--image', 'debian')
        for words, code, told in (
                (('taken', *image), 4, 'taken exists already'),
                (('no/name', *image), 2, "'no/name' is not a valid name"),
                (('a', '--image', 'debain'), 3, 'did you mean debian?'),
                (('a',), 2, 'neither --image, --boot-volume nor'),
                (('a', *image, '--flavor', 'smal'), 3,
                 'did you mean small?'),
                (('a', *image, '--flavor', 'small', '--ram', '64'), 2,
                 '--flavor and sizes'),
                (('a', *image, '--ram', '64'), 2, '--vcpus and --ram'),
                (('a', *image, '--vcpus', '0'), 2,
                 '--vcpus: must be at least 1'),
                (('a', *image, '--wait', 'soon'), 2,
                 "'soon' is neither active nor serial:REGEX"),
                (('a', *image, '--wait', 'serial:('), 2,
                 'not a regular expression'),
                (('a', *image, '--show-xml'), 2, 'needs --dry-run')):
            with self.subTest(words=words):
                result = self.type('server', 'create', *words)

                self.assertEqual(code, result.code, result.stderr)
                self.assertIn(told, result.stderr)
        self.assertEqual([], self.driver.verbs)

    def test_a_dry_run_makes_nothing_and_shows_it(self) -> None:
        shown = self.answer(
            'server', 'create', 'web1', '--image', 'debian', '--dry-run')

        self.assertEqual(['web1', 'not made (dry run)', 2048], [
            shown[name] for name in ('name', 'status', 'memory_mib')])
        self.assertEqual([], self.driver.verbs)
        self.assertNotIn('init_host', self.driver.calls)

    def test_a_dry_run_can_print_the_xml_only(self) -> None:
        result = self.type('server', 'create', 'web1', '--image', 'debian',
                           '--dry-run', '--show-xml')

        domain = etree.fromstring(result.stdout)
        self.assertEqual((0, 'web1', ''), (
            result.code, domain.findtext('name'), result.stderr))
        self.assertEqual([], self.driver.verbs)

    def test_a_failure_leaves_nothing_and_says_so(self) -> None:
        self.driver.failing['spawn'] = exception.StorageFailure(
            reason='the disk is full')

        result = self.type('server', 'create', 'web1', '--image', 'debian')

        self.assertEqual(1, result.code)
        self.assertIn('State: nothing of server web1 is left\n',
                      result.stderr)

    def test_progress_is_for_terminals(self) -> None:
        arguments = ('server', 'create', 'web1', '--image', 'debian')

        seen = self.type(*arguments, terminal=True)
        self.driver.destroy(self.driver.instances[0])
        quiet = self.type('-q', *arguments, terminal=True)

        self.assertIn('creating web1', seen.stderr)
        self.assertIn(' 50%', seen.stderr)
        self.assertEqual('', quiet.stderr)

    def test_an_address_that_is_known_soon_is_shown(self) -> None:
        asked: list[str] = []

        def addresses(
                instance: instance_spec.Instance,
        ) -> list[nic_spec.FoundAddress]:
            asked.append(instance.name)
            return [nic_spec.FoundAddress(
                address='192.0.2.7', source='lease')] if (
                    asked.count(instance.name) == 2) else []

        self.driver.look_for_addresses = addresses

        for name, network, words, expected in (
                ('waits', 'default', ['--wait'], ['192.0.2.7']),
                # A script is not kept.
                ('goes-on', 'default', [], []),
                # QEMU's own network says of none.
                ('user', 'user', ['--wait'], [])):
            shown = self.answer(
                'server', 'create', name, '--image', 'debian', '--network',
                network, *words)

            self.assertEqual(expected, [
                one['address'] for one in shown['addresses']])
        seen = self.type('server', 'create', 'seen', '--image', 'debian',
                         '--network', 'default', terminal=True)

        self.assertIn('192.0.2.7', seen.stdout)
        self.assertEqual(
            ['waits'] * 2 + ['goes-on', 'user'] + ['seen'] * 2, asked)

    def test_who_ends_it_late_is_told_that_the_server_is_there(self) -> None:
        for verb in ('set_autostart', 'get_addresses', 'get_domain_xml'):
            def interrupt(*arguments: object, **options: object) -> None:
                raise KeyboardInterrupt

            with self.subTest(verb=verb), mock.patch.object(
                    self.driver, verb, interrupt):
                result = self.type('server', 'create', verb.replace('_', '-'),
                                   '--image', 'debian', '--autostart')

            self.assertEqual(130, result.code)
            uuid = self.driver.instances[-1].uuid
            self.assertIn(f'is there: {uuid}', result.stderr)

    def test_a_server_is_shown_without_any(self) -> None:
        def addresses(instance: object) -> list[nic_spec.FoundAddress]:
            raise exception.InstanceNotFound(instance='web1', host='here')

        self.driver.look_for_addresses = addresses

        shown = self.answer('server', 'create', 'web1', '--image', 'debian',
                            '--network', 'default')

        self.assertEqual([], shown['addresses'])

    def test_what_ends_with_the_command_is_told_and_removed(self) -> None:
        self.driver.hypervisor_uri = 'test:///default'

        result = self.type('server', 'create', 'web1', '--image', 'debian')

        self.assertEqual(0, result.code)
        self.assertEqual(
            'note: test:///default lives in this process: web1 is gone when '
            'the command ends\n', result.stderr)
        self.assertEqual(['spawn', 'destroy'], self.driver.verb_names())

    def test_an_embedded_qemu_keeps_its_definition(self) -> None:
        self.driver.hypervisor_uri = 'qemu:///embed?root=/x'

        result = self.type('server', 'create', 'web1', '--image', 'debian')

        self.assertNotIn('when the command ends', result.stderr)
        self.assertEqual(['spawn'], self.driver.verb_names())


class WaitTest(base.ServerTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.have_image('debian')

    def create(self, *arguments: str, console: list[bytes]) -> base.Result:
        """Make a server that prints something."""
        # Its uuid is not known before.
        outputs = list(console)
        self.driver.get_console_output = (  # type: ignore[method-assign]
            lambda instance: outputs.pop(0) if outputs[1:] else outputs[0])
        return self.type('server', 'create', 'web1', '--image', 'debian',
                         *arguments)

    def test_it_waits_for_what_the_server_prints(self) -> None:
        result = self.create(
            '--wait=serial:^login: $', console=[
                b'', b'boot\r\n', b'boot\r\n\x1b[1mlogin: '])

        self.assertEqual((0, ''), (result.code, result.stderr))

    def test_it_waits_for_power(self) -> None:
        result = self.create('--wait', console=[b''])

        self.assertEqual(0, result.code)

    def test_too_late_ends_with_the_last_lines(self) -> None:
        lines = ''.join(f'line {number}\n' for number in range(30))

        result = self.create(
            '--timeout', '0.1', '--wait=serial:login',
            console=[f'{lines}\x1b[2Jpanic\n'.encode()])

        told = result.stderr.splitlines()
        self.assertEqual((6, 24), (result.code, len(told)))
        self.assertEqual(['web1: line 11', 'web1: panic'],
                         [told[0], told[19]])
        self.assertEqual(
            'Error: serial:login did not come within 0.1 s', told[20])
        spec, = self.driver.specs.values()
        self.assertEqual(
            f'  State: server web1 is there: {spec.uuid}', told[22])
        self.assertIs(instance_spec.PowerState.RUNNING,
                      self.driver.get_info(spec).state)
