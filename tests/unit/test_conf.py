# SPDX-License-Identifier: Apache-2.0

import os
import pathlib
import subprocess
import sys
import tomllib
from typing import Any

import fixtures
from oslo_config import cfg

from nova_libvirt_driver import conf
from nova_libvirt_driver.conf import monitoring
from nova_libvirt_driver.conf import opts
from nova_libvirt_driver import exception
from tests import base

ROOT = pathlib.Path(__file__).parents[2]

OWN = 'nova_libvirt_driver'
EMBEDDED = 'test:///default'

# Group, option, values that are refused, values that are not.
LIMITS: tuple[tuple[str, str, tuple[Any, ...], tuple[Any, ...]], ...] = (
    ('libvirt', 'virt_type', ('xen', 'QEMU?', ''),
     ('kvm', 'lxc', 'qemu', 'parallels')),
    (OWN, 'keepalive_interval', (0, -1, 3601, 'x', 1.5), (1, 3600)),
    (OWN, 'keepalive_count', (0, 101), (1, 100)),
    (OWN, 'connect_timeout', (0, 601, 'soon'), (0.1, 600)),
    (OWN, 'reconnect_interval', (0, 601), (0.05, 600)),
    (OWN, 'reconnect_interval_max', (0, 3601), (0.05, 3600)),
    (OWN, 'native_threads', (3, 4097), (4, 4096)),
    (OWN, 'call_timeout', (0, 3601), (1, 3600)),
    (OWN, 'audit_interval', (0, 86401), (1, 86400)),
    (OWN, 'metrics_port', (-1, 65536, 'http'), (0, 65535)),
    (OWN, 'metrics_listen', ('localhost', '127.0.0'),
     ('127.0.0.1', '::', '0.0.0.0')),
    ('DEFAULT', 'my_ip', ('not an address!',),
     ('192.0.2.1', '2001:db8::1', 'host.example')),
)


def all_options() -> list[tuple[str, cfg.Opt]]:
    """Return every option with its group."""
    return [(group, opt) for group, found in opts.list_opts()
            for opt in found]


class ConfTestCase(base.TestCase):
    """Reads configuration files without touching the process's own."""

    def read(self, text: str = '', *,
             register: bool = True) -> cfg.ConfigOpts:
        folder = self.useFixture(fixtures.TempDir()).path
        path = pathlib.Path(folder, 'nova-libvirt.conf')
        path.write_text(text)
        found = cfg.ConfigOpts()
        found(['--config-file', str(path)], project='nova-libvirt')
        if register:
            conf.register_opts(found)
        return found

    def value(self, found: cfg.ConfigOpts, group: str, name: str) -> Any:
        return found[name] if group == 'DEFAULT' else found[group][name]


class OptionTest(ConfTestCase):

    def test_every_listed_option_is_registered(self) -> None:
        found = self.read()

        self.assertTrue(all_options())
        for group, opt in all_options():
            self.assertEqual(opt.default is None, self.value(
                found, group, opt.dest) is None, opt.name)

    def test_nothing_is_registered_that_is_not_listed(self) -> None:
        found = self.read()
        listed = {(group, opt.dest) for group, opt in all_options()}

        registered = {
            (group, name) for group in found
            if isinstance(found[group], cfg.ConfigOpts.GroupAttr)
            for name in found[group]}
        registered |= {
            ('DEFAULT', name) for name in found
            if not isinstance(found[name], cfg.ConfigOpts.GroupAttr)}

        # What oslo.config registers for itself.
        theirs = {('DEFAULT', name) for name in (
            'config_file', 'config_dir', 'config_source',
            'shell_completion')}
        self.assertEqual(listed, registered - theirs)

    def test_registering_twice_is_harmless(self) -> None:
        found = self.read('[libvirt]\nvirt_type = qemu\n')

        conf.register_opts(found)

        self.assertEqual('qemu', found.libvirt.virt_type)

    def test_every_option_is_explained(self) -> None:
        for _, opt in all_options():
            text = (opt.help or '').strip()

            self.assertTrue(text, opt.name)
            self.assertTrue(text.endswith('.'), opt.name)

    def test_defaults_are_within_their_own_limits(self) -> None:
        found = self.read()
        for group, opt in all_options():
            value = self.value(found, group, opt.dest)

            found.set_override(
                opt.name, value,
                group=None if group == 'DEFAULT' else group)

    def test_values_beyond_the_limits_are_refused(self) -> None:
        for group, name, refused, _ in LIMITS:
            for value in refused:
                found = self.read(f'[{group}]\n{name} = {value}\n')

                error = self.assertRaises(
                    cfg.ConfigFileValueError, self.value, found, group,
                    name)
                self.assertIn(name, str(error), f'{name} = {value}')

    def test_values_at_the_limits_are_taken(self) -> None:
        for group, name, _, taken in LIMITS:
            for value in taken:
                found = self.read(f'[{group}]\n{name} = {value}\n')

                self.assertEqual(value, self.value(found, group, name))

    def test_password_is_secret(self) -> None:
        secret = {opt.name for _, opt in all_options() if opt.secret}

        self.assertEqual({'auth_password'}, secret)


class ForeignOptionTest(ConfTestCase):
    """A hosting service came first."""

    def test_its_definition_is_used(self) -> None:
        found = self.read('[libvirt]\nvirt_type = bhyve\n', register=False)
        found.register_opt(
            cfg.StrOpt('virt_type', default='lxc', help='Of the host.'),
            group='libvirt')

        conf.register_opts(found)

        # Ours would refuse that value.
        self.assertEqual('bhyve', found.libvirt.virt_type)

    def test_the_others_are_registered_all_the_same(self) -> None:
        found = self.read(register=False)
        found.register_opt(cfg.StrOpt('host', default='rack1'))
        found.register_opt(
            cfg.StrOpt('connection_uri', default='x:///'), group='libvirt')

        conf.register_opts(found)

        self.assertEqual(('rack1', 'x:///'),
                         (found.host, found.libvirt.connection_uri))
        for group, opt in all_options():
            self.value(found, group, opt.dest)


class CheckTest(ConfTestCase):

    def test_values_that_can_be_used_are_no_error(self) -> None:
        conf.check_values(self.read('[libvirt]\nvirt_type = qemu\n'))

    def test_each_value_that_cannot_is_named_with_its_option(self) -> None:
        for group, name, refused, _ in LIMITS:
            for value in refused:
                error = self.assertRaises(
                    exception.InvalidConfiguration, conf.check_values,
                    self.read(f'[{group}]\n{name} = {value}\n'))

                self.assertIn(f'[{group}] {name}', str(error))
                self.assertIn('nova-libvirt.conf', str(error))
                self.assertNotIn('LocationInfo', str(error))


class MonitoringTest(ConfTestCase):

    def test_the_socket_is_below_the_state_path_by_default(self) -> None:
        found = self.read('[DEFAULT]\nstate_path = /srv\nhost = node1\n')

        self.assertEqual('/srv/nova-libvirt-node1.sock',
                         monitoring.settings(found).status_socket)

    def test_it_can_be_elsewhere_or_nowhere(self) -> None:
        for value, path in (('/run/x.sock', '/run/x.sock'), ('', ''),
                            ('off', ''), ('OFF', '')):
            found = self.read(f'[{OWN}]\nstatus_socket = {value}\n')

            self.assertEqual(path, monitoring.status_socket(found))

    def test_values_are_those_of_the_options(self) -> None:
        found = self.read(
            f'[DEFAULT]\nhost = node1\n[{OWN}]\nmetrics_port = 9177\n'
            'metrics_listen = ::1\nservice_down_grace = 7\n')

        settings = monitoring.settings(found)

        self.assertEqual(('node1', 9177, '::1', 7), (
            settings.host, settings.metrics_port, settings.metrics_listen,
            settings.service_down_grace_s))


class EmbeddedDefaultTest(ConfTestCase):

    def test_it_is_used_only_when_nothing_was_chosen(self) -> None:
        for text, wanted in (
                ('', EMBEDDED),
                ('[DEFAULT]\nhost = rack1\n', EMBEDDED),
                ('[libvirt]\nconnection_uri = qemu:///session\n',
                 'qemu:///session'),
                ('[libvirt]\nvirt_type = qemu\n', ''),
                ('[libvirt]\nvirt_type = kvm\n', ''),
                ('[libvirt]\nconnection_uri =\n', '')):
            found = self.read(text)

            conf.use_embedded_default(found)

            self.assertEqual(wanted, found.libvirt.connection_uri, text)

    def test_what_a_command_line_sets_is_a_choice(self) -> None:
        found = self.read()
        found.set_override('connection_uri', 'qemu:///session',
                           group='libvirt')

        conf.use_embedded_default(found)

        self.assertEqual('qemu:///session', found.libvirt.connection_uri)

    def test_using_it_twice_is_using_it_once(self) -> None:
        found = self.read()

        conf.use_embedded_default(found)
        conf.use_embedded_default(found)

        self.assertEqual(EMBEDDED, found.libvirt.connection_uri)


class SampleTest(ConfTestCase):
    """What oslo-config-generator makes of the options."""

    def test_sample_has_every_option(self) -> None:
        sample = self.generate()

        for group, opt in all_options():
            section = sample.split(f'\n[{group}]\n')[1].split('\n[')[0]
            self.assertIn(f'\n#{opt.dest} =', section, opt.name)

    def test_sample_names_no_machine(self) -> None:
        sample = self.generate()

        self.assertIn('\n#host = <current hostname>\n', sample)
        self.assertIn('\n#my_ip = <address of the default route>\n', sample)

    def generate(self) -> str:
        """Run the generator as if the package was installed."""
        folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        with open(ROOT / 'pyproject.toml', 'rb') as file:
            project = tomllib.load(file)['project']
        points = project['entry-points']['oslo.config.opts']
        info = folder / 'sample_test-1.dist-info'
        info.mkdir()
        (info / 'METADATA').write_text('Name: sample-test\nVersion: 1\n')
        (info / 'entry_points.txt').write_text('\n'.join([
            '[oslo.config.opts]',
            *(f'{name} = {value}' for name, value in points.items())]))
        return '\n' + subprocess.run(
            [sys.executable, '-W', 'ignore', '-c',
             'from oslo_config import generator; generator.main()',
             '--namespace', OWN],
            check=True, stdout=subprocess.PIPE, text=True, timeout=60,
            env=os.environ | {'PYTHONPATH': f'{folder}:{ROOT}',
                              # Where stevedore would remember the folder.
                              'XDG_CACHE_HOME': str(folder)}).stdout
