# SPDX-License-Identifier: Apache-2.0

"""What of an error reaches Nova, and what stays in the log."""

from collections.abc import Iterator
import json
import re
import sys
import traceback
from typing import Any
import unittest
from unittest import mock

from castellan.common import exception as castellan_exception
from cursive import exception as cursive_exception
import libvirt
from nova.compute import utils as compute_utils
from nova import exception as nova_exception
from nova.notifications.objects import exception as notified
from oslo_messaging._drivers import common as rpc_common

from nova_libvirt_driver.calls import errors as connection_errors
from nova_libvirt_driver import driver as core_driver
from nova_libvirt_driver import exception
from nova_libvirt_driver.nova_plugin import driver
from nova_libvirt_driver.nova_plugin import errors
from nova_libvirt_driver.testing import fake_fault
from tests.nova import support_matrix
from tests.nova import test_translate

PATH = '/srv/canary/_base/disk'
URI = 'qemu+tls://canary.example/system'
ADDRESS = '192.0.2.77'
STDERR = 'qemu-img: canary said'
CANARY = f'{PATH} {URI} {ADDRESS} {STDERR}'
HINTS = re.compile(r'canary|192\.0\.2|/srv|qemu\+|virsh|nova-libvirt ')

# What the compute manager acts on, see nova/compute/manager.py.
CLASSES = {
    exception.InstanceNotFound: nova_exception.InstanceNotFound,
    exception.HypervisorUnavailable: nova_exception.HypervisorUnavailable,
    exception.CallTimeout: nova_exception.HypervisorUnavailable,
    exception.CallBudgetExhausted: nova_exception.HypervisorUnavailable,
    exception.ImageNotFound: nova_exception.ImageNotFound,
    exception.ImageRefused: nova_exception.ImageUnacceptable,
    exception.FlavorTooSmall: nova_exception.FlavorDiskTooSmall,
    exception.InstanceExists: nova_exception.InstanceExists,
    exception.InvalidRequest: nova_exception.InvalidRequest,
    exception.ConsoleUnavailable: nova_exception.ConsoleNotAvailable,
    exception.AgentUnavailable: nova_exception.InstanceAgentNotEnabled,
    exception.StatePathUnusable: nova_exception.InvalidConfiguration,
    exception.StorageFailure: nova_exception.NovaException,
}

# After which a guest that was to be removed may run on.
RUNS_ON = (
    exception.GuestBusy, exception.GuestUnresponsive, exception.CallTimeout,
    exception.HypervisorUnavailable, exception.CallBudgetExhausted)


def classes(root: type = exception.DriverError) -> Iterator[type]:
    """Yield each class of ours."""
    yield root
    kind: type
    for kind in root.__subclasses__():
        yield from classes(kind)


def filled(kind: type) -> Exception:
    """Return an error with a canary in each of its fields."""
    fields: dict[str, object] = {
        name: 7 if number else CANARY for name, number in re.findall(
            r'%\((\w+)\)(?:(d|g)|[sr])',
            kind.template + kind.advice)}  # type: ignore[attr-defined]
    made: Exception = kind(**fields)
    return made


def of_libvirt() -> Iterator[Exception]:
    """Yield what becomes of each error of libvirt."""
    codes = {value for name, value in vars(libvirt).items()
             if name.startswith('VIR_ERR_') and isinstance(value, int)}
    for code in codes:
        for domain in (libvirt.VIR_FROM_QEMU, libvirt.VIR_FROM_RPC):
            for instance in ('', CANARY):
                yield connection_errors.translate(
                    fake_fault.libvirt_error(code, domain, CANARY),
                    host=CANARY, tried=CANARY, instance=instance)
    yield connection_errors.cannot_open(
        OSError(13, STDERR, PATH), host=ADDRESS, uri=URI, refusal=STDERR)


class Verbs:
    """A driver whose verb raises what it is given."""

    def pause(self, instance: Any, error: Exception) -> None:
        raise error

    def caused(self, instance: Any, error: Exception) -> None:
        try:
            raise OSError(13, CANARY, PATH)
        except OSError as cause:
            error.add_note(f'could not remove {PATH}')
            raise error from cause


errors.border(Verbs)


class BorderTest(unittest.TestCase):

    def setUp(self) -> None:
        super().setUp()
        self.instance = test_translate.make_instance()

    def seen(self, error: Exception, verb: str = 'pause') -> str:
        """Return all that Nova keeps, sends or shows of an error."""
        self.logged = ''
        with self.assertLogs(errors.LOG.logger, 'DEBUG') as logs:
            errors.LOG.debug('one line is needed')
            try:
                getattr(Verbs(), verb)(self.instance, error)
            except Exception as caught:
                self.caught = caught
                shown = self.everything(caught)
        self.logged = '\n'.join(logs.output)
        return shown

    def everything(self, caught: Exception) -> str:
        fault = compute_utils.exception_to_dict(caught)
        return '\n'.join((
            fault['message'], str(caught), repr(caught),
            compute_utils._get_fault_details(sys.exc_info(), 500),
            # In a fault after the last retry: str() of it.
            ''.join(traceback.format_exception(caught)),
            str(notified.ExceptionPayload.from_exception(caught)),
            json.dumps(rpc_common.serialize_remote_exception(
                sys.exc_info()), default=str)))

    def test_sizes_are_shown(self) -> None:
        error = exception.FlavorTooSmall(
            image='x', needed='2 GiB', given='1.5 GiB')

        self.assertIn(
            'it needs 2 GiB, the flavor gives 1.5 GiB', self.seen(error))

    def test_no_field_of_ours_is_shown(self) -> None:
        for kind in classes():
            with self.subTest(kind=kind.__name__):
                shown = self.seen(filled(kind))

                self.assertNotRegex(shown, HINTS)
                self.assertIn('canary', self.logged)

    def test_no_word_of_libvirt_is_shown(self) -> None:
        for error in of_libvirt():
            with self.subTest(kind=type(error).__name__, error=str(error)):
                self.assertNotRegex(self.seen(error), HINTS)
                self.assertIn('canary', self.logged)

    def test_no_word_of_the_system_is_shown(self) -> None:
        for error in (
                OSError(13, STDERR, PATH), ValueError(CANARY),
                KeyError(CANARY), RuntimeError(CANARY),
                UnicodeDecodeError('utf-8', b'canary', 0, 1, CANARY),
                castellan_exception.KeyManagerError(CANARY),
                fake_fault.libvirt_error(1, 10, CANARY)):
            with self.subTest(kind=type(error).__name__):
                self.assertNotRegex(self.seen(error), HINTS)
                self.assertIn('canary', self.logged)

    def test_no_cause_of_an_error_of_nova_is_shown(self) -> None:
        for error in (
                nova_exception.VirtualInterfacePlugException('port'),
                nova_exception.InstanceNotRunning(instance_id='i'),
                NotImplementedError('verb')):
            with self.subTest(kind=type(error).__name__):
                shown = self.seen(error, 'caused')

                self.assertNotRegex(shown, HINTS)
                self.assertIs(error, self.caught)

    def test_the_cause_of_an_error_of_nova_is_logged(self) -> None:
        self.seen(nova_exception.VirtualInterfacePlugException('port'),
                  'caused')

        self.assertIn(PATH, self.logged)
        self.assertIn('could not remove', self.logged)

    def test_the_compute_manager_gets_the_class_that_it_acts_on(self) -> None:
        for ours, theirs in CLASSES.items():
            with self.subTest(ours=ours.__name__):
                self.seen(filled(ours))

                self.assertIsInstance(self.caught, theirs)

    def test_what_has_a_meaning_for_nova_passes(self) -> None:
        for error in (
                nova_exception.UnexpectedDeletingTaskStateError(
                    instance_uuid='u', expected={}, actual={}),
                cursive_exception.SignatureVerificationError(reason='no'),
                NotImplementedError()):
            with self.subTest(kind=type(error).__name__):
                self.seen(error)

                self.assertIs(error, self.caught)

    def test_a_fault_names_the_instance_and_the_image(self) -> None:
        image = test_translate.IMAGE_ID

        self.assertIn(self.instance.uuid, self.seen(
            exception.InstanceNotFound(instance=CANARY, host='h')))
        self.assertIn(image, self.seen(
            exception.ImageRefused(image=image, reason=CANARY)))

    def test_the_log_names_the_instance(self) -> None:
        with self.assertLogs(errors.LOG.logger, 'ERROR') as logs:
            with self.assertRaises(nova_exception.NovaException):
                Verbs().pause(
                    instance=self.instance, error=exception.StorageFailure(
                        reason='no room', path=PATH))

        record: Any = logs.records[0]
        self.assertIs(self.instance, record.instance)

    def test_a_sentence_is_short_and_has_no_holes(self) -> None:
        for kind in classes():
            with self.subTest(kind=kind.__name__):
                sentence = str(errors.translate(filled(kind)))

                # A longer one is cut, by the column in Nova's database.
                self.assertLess(len(sentence), 200)
                self.assertNotRegex(sentence, r'%|None')
                self.assertRegex(sentence, r'^[A-Z].*\.$')


class DriverTest(unittest.TestCase):

    def test_a_guest_that_may_still_run_keeps_its_addresses(self) -> None:
        made = driver.NovaLibvirtDriver(None)
        for kind in CLASSES | dict.fromkeys(RUNS_ON):
            with self.subTest(kind=kind.__name__), mock.patch.object(
                    core_driver.LibvirtDriver, 'destroy', autospec=True,
                    side_effect=filled(kind)):
                with self.assertRaises(
                        nova_exception.NovaException) as caught:
                    made.destroy(
                        None, test_translate.make_instance(host=None), [])

                self.assertNotRegex(str(caught.exception), HINTS)
                self.assertEqual(kind in RUNS_ON, isinstance(
                    caught.exception,
                    nova_exception.InstancePowerOffFailure))

    def test_a_server_that_is_deleted_during_a_snapshot(self) -> None:
        made = driver.NovaLibvirtDriver(None)
        for kind in (exception.InstanceNotFound, exception.GaveWay):
            with self.subTest(kind=kind.__name__), mock.patch.object(
                    core_driver.LibvirtDriver, 'snapshot', autospec=True,
                    side_effect=filled(kind)):
                with self.assertNoLogs('nova_libvirt_driver', 'WARNING'):
                    # The compute manager removes the image, and is done.
                    self.assertRaises(
                        nova_exception.InstanceNotRunning, made.snapshot,
                        None, test_translate.make_instance(), 'image',
                        lambda **states: None)

    def test_each_verb_is_behind_the_border(self) -> None:
        for verb in support_matrix.verbs():
            with self.subTest(verb=verb):
                self.assertTrue(hasattr(
                    getattr(driver.NovaLibvirtDriver, verb), '__wrapped__'))

    def test_a_verb_without_a_host_tells_no_more(self) -> None:
        made = driver.NovaLibvirtDriver(None)

        with self.assertRaises(nova_exception.NovaException) as caught:
            made.pause(test_translate.make_instance())

        self.assertIsNone(caught.exception.__context__)
        self.assertNotRegex(str(caught.exception), '/|:')
