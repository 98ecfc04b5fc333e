# SPDX-License-Identifier: Apache-2.0

"""Files on their way to another compute host, by programs that pretend."""

import os
import pathlib
import textwrap

import fixtures
import nova.conf
from oslotest import base
import psutil

from nova_libvirt_driver import base as core_base
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import moves
from nova_libvirt_driver.spec import instance as instance_spec

CONF = nova.conf.CONF

SSH = """\
    #!/bin/sh
    # ssh -o BatchMode=yes HOST PROGRAM ARGUMENT... PATH
    shift 3
    for path; do :; done
    exec "$1" $(test "$1" = mkdir && echo -p) $(
        test "$1 $2" = 'rm -rf' && echo -rf) "$OTHER_ROOT$path"
    """
SCP = """\
    #!/bin/sh
    for target; do target_is=$target; done
    while test $# -gt 2; do shift; done
    exec cp "$1" "$OTHER_ROOT${target_is#192.0.2.7:}"
    """
REFUSES = """\
    #!/bin/sh
    echo 'Permission denied (publickey).' >&2
    exit 255
    """


class RemoteTest(base.BaseTestCase):

    def setUp(self) -> None:
        super().setUp()
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.folder = self.root / 'instances' / 'one'
        self.folder.mkdir(parents=True)
        self.instance = instance_spec.InstanceRef('one', 'one')
        CONF.set_override('instances_path', str(self.folder.parent))
        self.addCleanup(CONF.clear_override, 'instances_path')
        self.useFixture(fixtures.EnvironmentVariable(
            'PATH', f'{self.root}:{os.environ["PATH"]}'))

    def programs(self, ssh: str, other_root: str) -> None:
        self.useFixture(fixtures.EnvironmentVariable(
            'OTHER_ROOT', other_root))
        for name, text in (('ssh', ssh), ('scp', SCP)):
            program = self.root / name
            program.write_text(textwrap.dedent(text))
            program.chmod(0o755)

    def remote(self) -> moves.Remote:
        found = moves.carrier('192.0.2.7')
        assert found is not None
        return found

    def test_a_host_with_storage_of_its_own(self) -> None:
        other = self.root / 'other'
        there = other / str(self.folder).lstrip('/')
        self.programs(SSH, str(other))
        (self.folder / 'disk').write_text('bytes')

        self.assertFalse(self.remote().open(str(self.folder)))
        self.assertEqual([], list(there.iterdir()))
        self.remote().copy(
            str(self.folder / 'disk'), str(self.folder / 'disk'),
            lambda: None)
        self.assertEqual('bytes', (there / 'disk').read_text())
        self.remote().remove(str(self.folder))

        self.assertFalse(there.exists())
        self.assertTrue((self.folder / 'disk').exists())

    def test_a_copy_ends_when_the_server_is_to_be_deleted(self) -> None:
        self.programs(SSH, '')
        number = self.root / 'number'
        (self.root / 'scp').write_text(
            f'#!/bin/sh\necho $$ > {number}\nexec sleep 600\n')

        def watch() -> None:
            if number.exists() and number.read_text():
                raise exception.GaveWay(
                    tried='x', instance='y', state='being deleted')

        self.assertRaises(
            exception.GaveWay, self.remote().copy,
            str(self.folder / 'disk'), str(self.folder / 'disk'), watch)

        self.assertFalse(psutil.pid_exists(int(number.read_text())))

    def test_a_host_that_has_the_same_storage(self) -> None:
        # What the other host removes may change the folder of the guest.
        self.programs(SSH.replace(
            'exec', 'test "$1" = rm && exit 1; exec'), '')

        self.assertTrue(self.remote().open(str(self.folder)))

        self.assertEqual([], list(self.folder.iterdir()))

    def test_this_host_needs_no_transport(self) -> None:
        self.assertIsNone(moves.carrier(CONF.my_ip))

    def test_a_host_that_refuses_is_named_with_what_it_says(self) -> None:
        self.programs(REFUSES, '')

        error = self.assertRaises(
            exception.StorageFailure, self.remote().open, str(self.folder))

        for words in ('192.0.2.7', 'ssh', 'Permission denied'):
            self.assertIn(words, str(error))

    def test_what_a_killed_departure_left_is_removed(self) -> None:
        other = self.root / 'other'
        there = other / str(self.folder).lstrip('/')
        there.mkdir(parents=True)
        (there / 'disk').touch()
        (self.folder / 'disk').touch()

        for root in (str(other), ''):
            self.programs(SSH, root)
            moves.clear('192.0.2.7', self.instance)

            self.assertFalse(there.exists())
            self.assertEqual(['disk'], os.listdir(self.folder))

    def test_a_host_that_is_away_keeps_no_service_from_its_start(
            self) -> None:
        self.programs(REFUSES, '')
        logger = self.useFixture(fixtures.FakeLogger())

        moves.clear('192.0.2.7', self.instance)

        self.assertIn('192.0.2.7', logger.output)
        self.assertIn(str(self.folder), logger.output)


class Up(core_base.ComputeDriver):
    """A driver whose instances are all up."""

    def get_info(
            self, instance: instance_spec.Instance,
            use_cache: bool = True) -> instance_spec.InstanceInfo:
        return instance_spec.InstanceInfo(instance_spec.PowerState.RUNNING)

    def instance_exists(self, instance: instance_spec.Instance) -> bool:
        return True


class StartedAgainTest(base.BaseTestCase):

    def starts(self, error: exception.DriverError) -> list[str]:
        """Return what was started after a departure that failed."""
        started: list[str] = []

        def leave() -> None:
            with moves.started_again(
                    Up(), instance_spec.InstanceRef('one', 'one'),
                    lambda: started.append('one')):
                raise error

        self.assertRaises(type(error), leave)
        return started

    def test_a_server_that_cannot_go_is_started(self) -> None:
        self.assertEqual(['one'], self.starts(
            exception.StorageFailure(reason='full', path='/')))

    def test_one_that_is_to_be_deleted_is_not(self) -> None:
        self.assertEqual([], self.starts(exception.GaveWay(
            tried='x', instance='one', state='being deleted')))
