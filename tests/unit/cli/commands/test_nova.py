# SPDX-License-Identifier: Apache-2.0

"""What ``nova check`` makes of the facts about Nova.

How the facts are found is tested under Nova itself, in tests/nova.
"""

import dataclasses
import sys

from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli.doctor import nova_findings
from nova_libvirt_driver.cli.doctor import nova_probe
from tests import base
from tests.unit.cli import base as cli_base

GOOD = nova_probe.Facts(
    python='/opt/python', nova_file='/opt/nova/__init__.py',
    release='34.0.0', alias=nova_findings.ORIGIN,
    config_files=('/etc/nova/nova.conf',),
    compute_driver=nova_findings.DRIVER, eventlet=False,
    loaded=nova_findings.LOADED, options=())


class FindingsTest(base.TestCase):

    def found(self, **changes: object) -> dict[str, checks.Check]:
        facts = dataclasses.replace(GOOD, **changes)  # type: ignore[arg-type]
        return {one.name: one for one in nova_findings.findings(facts)}

    def failures(self, **changes: object) -> list[str]:
        return [name for name, one in self.found(**changes).items()
                if one.status is checks.Status.FAILURE]

    def test_all_is_well(self) -> None:
        self.assertEqual({checks.Status.OK}, {
            one.status for one in self.found().values()})

    def test_it_says_which_kind_of_threads(self) -> None:
        self.assertIn('native threads', self.found()['loading'].detail)
        self.assertIn(
            'eventlet', self.found(eventlet=True)['loading'].detail)

    def test_an_old_release_fails(self) -> None:
        self.assertEqual(['nova'], self.failures(release='30.3.0'))
        self.assertEqual([], self.failures(release='31.0.0'))

    def test_a_release_that_was_never_tried_is_a_warning(self) -> None:
        for release in ('35.0.0', '35.0.0.0rc1', ''):
            found = self.found(release=release)['nova']

            self.assertEqual(checks.Status.WARNING, found.status)

    def test_a_finder_that_is_missing(self) -> None:
        found = self.found(
            alias=None, loaded=None, problem='ModuleNotFoundError: x')

        self.assertEqual('failure', found['finder'].status)
        self.assertIn('/opt/python -m pip', found['finder'].fix)
        self.assertEqual('ModuleNotFoundError: x', found['loading'].detail)

    def test_a_file_in_the_place_of_the_driver(self) -> None:
        self.assertEqual(
            ['finder', 'loading'], self.failures(
                alias='/opt/nova/virt/nova_libvirt_driver/__init__.py',
                loaded='nova.virt.nova_libvirt_driver.LibvirtDriver'))

    def test_another_driver_is_asked_for(self) -> None:
        found = self.found(compute_driver='libvirt.LibvirtDriver')

        self.assertIn('another driver', found['compute_driver'].detail)
        self.assertIn(nova_findings.DRIVER, found['compute_driver'].fix)
        self.assertEqual('ok', found['loading'].status)

    def test_no_driver_is_asked_for(self) -> None:
        self.assertEqual(
            ['compute_driver'], self.failures(compute_driver=None))

    def test_a_configuration_that_nova_refuses(self) -> None:
        found = self.found(
            compute_driver=None, eventlet=None, loaded=None, options=None,
            config_files=(), problem='ConfigFileParseError: line 3')

        self.assertEqual(
            'ConfigFileParseError: line 3', found['configuration'].detail)
        self.assertEqual('skipped', found['loading'].status)

    def test_what_becomes_of_the_options(self) -> None:
        found = list(self.found(options=(
            ('[libvirt] virt_type', 'honoured', ''),
            ('[libvirt] inject_key', 'ignored', 'use the config drive'),
            ('[libvirt] images_type', 'refused', 'take qcow2'))).values())[-3:]

        self.assertEqual(['ok', 'warning', 'failure'],
                         [one.status.value for one in found])
        self.assertEqual('[libvirt] inject_key', found[1].name)
        self.assertEqual('refused: take qcow2', found[2].detail)

    def test_an_ignored_option_keeps_no_driver_from_being_loaded(
            self) -> None:
        self.assertEqual([], self.failures(
            options=(('inject_key', 'ignored', 'use the config drive'),)))

    def test_guests_that_cannot_be_switched_are_named(self) -> None:
        found = self.found(guests=(
            ('instance-1', 'hostdev pci 0000:06:00.1', True),
            ('instance-2', 'disk block vdb /dev/sdb', False)))

        self.assertEqual(checks.Status.OK, found['guest instance-1'].status)
        self.assertEqual(
            checks.Status.FAILURE, found['guest instance-2'].status)
        self.assertIn('disk block vdb', found['guest instance-2'].detail)

    def test_guests_without_any_trouble(self) -> None:
        self.assertEqual(checks.Status.OK, self.found(guests=())[
            'guests'].status)
        self.assertEqual(['guests'], self.failures(
            guests_problem='HypervisorUnavailable: no daemon'))
        self.assertNotIn('guests', self.found())


class CommandTest(cli_base.ClientTestCase):

    def test_without_nova(self) -> None:
        result = self.run_client('nova', 'check', '-f', 'json')

        self.assertEqual((1, ''), (result.code, result.stderr))
        only, = result.json
        self.assertEqual(f'not installed for {sys.executable}',
                         only['Detail'])

    def test_a_nova_that_does_not_answer(self) -> None:
        facts = nova_probe.ask([], [], timeout_s=1e-6)

        self.assertEqual('Nova gave no answer within 1e-06 s', facts.problem)
