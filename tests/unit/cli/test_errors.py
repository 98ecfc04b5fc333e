# SPDX-License-Identifier: Apache-2.0

"""What a person reads when something goes wrong."""

from oslo_config import cfg

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver import exception
from tests import base


class DescribeTest(base.TestCase):

    def test_an_error_is_four_plain_lines(self) -> None:
        error = exception.HypervisorUnavailable(
            host='h1', reason='cannot open test:///x:\n no such file',
            hint='correct the URI')

        report = errors.describe(error, 'server list on test:///x')

        self.assertEqual([
            'Error: libvirt on host h1 cannot be used: cannot open '
            'test:///x: no such file',
            '  Tried: server list on test:///x',
            '  State: nothing was changed',
            '  Next:  correct the URI'], report.lines())

    def test_each_kind_of_error_has_its_exit_code(self) -> None:
        expected = (
            (exception.InvalidConfiguration(reason='x'), 2),
            (exception.DriverNotLoadable(name='a', reason='x'), 2),
            (exception.LibvirtMissing(reason='x'), 1),
            (exception.InstanceNotFound(instance='a', host='h1'), 3),
            (exception.HypervisorUnavailable(host='h1'), 5),
            (exception.CallTimeout(host='h1', call='x', timeout_s=1), 6),
            (exception.CallBudgetExhausted(call='x', limit=4), 5),
            (exception.OperationRefused(tried='x', reason='y'), 1),
            (exception.UnsupportedOperation(tried='x', reason='y'), 1),
            (exception.RemoteError(host='h1', reason='x'), 5),
            (exception.InvalidRequest(reason='x'), 2),
            (exception.FlavorTooSmall(image='a', needed='x', given='y'), 2),
            (exception.InstanceExists(instance='a', host='h1'), 4),
            (exception.WrongState(tried='x', instance='a', state='y'), 4),
            (exception.ForeignDomain(instance='a', host='h1'), 4),
            (exception.ConsoleUnavailable(instance='a', kind='vnc'), 4),
            (exception.AgentUnavailable(instance='a'), 4),
            (exception.ImageNotFound(image='a'), 3),
            (exception.ImageRefused(image='a', reason='x'), 1),
            (exception.StorageFailure(reason='x'), 1),
            (exception.WaitTimeout(awaited='x', timeout_s=1), 6),
            (errors.NotFound('x', 'y'), 3),
            (errors.Conflict('x', 'y'), 4),
            (errors.UsageError('x', 'y'), 2),
            (errors.WaitTimeout('x', 'y'), 6),
            (cfg.NoSuchOptError('x'), 2),
            (PermissionError(13, 'denied', '/x'), 1),
            (KeyboardInterrupt(), 130),
            (KeyError('x'), 1))

        for error, code in expected:
            with self.subTest(error=type(error).__name__):
                self.assertEqual(code, errors.describe(error).code)

    def test_a_missing_binding_says_what_to_install(self) -> None:
        error = ImportError('libvirt.so.0: not found', name='libvirtmod')

        report = errors.describe(error)

        self.assertEqual(1, report.code)
        self.assertIn('libvirt.so.0: not found', report.error)
        self.assertIn('pip install libvirt-python', report.next_step)

    def test_another_missing_module_is_not_taken_for_libvirt(self) -> None:
        report = errors.describe(ImportError('no yaml', name='yaml'))

        self.assertEqual('unexpected ImportError: no yaml', report.error)
        self.assertTrue(report.unexpected)

    def test_an_error_of_a_file_names_the_file(self) -> None:
        report = errors.describe(PermissionError(13, 'denied', '/x/y'))

        self.assertEqual(
            ['Error: /x/y: denied', '  State: nothing was changed'],
            report.lines())

    def test_a_wrong_column_is_wrong_usage(self) -> None:
        report = errors.describe(
            ValueError("No recognized column names in ['x']."))

        self.assertEqual(2, report.code)

    def test_the_state_is_the_one_that_was_told(self) -> None:
        def fail() -> None:
            with errors.state('one is done'), errors.state('two is not'):
                raise exception.StorageFailure(reason='full')

        error = self.assertRaises(exception.StorageFailure, fail)

        self.assertEqual('two is not; one is done',
                         errors.describe(error).state)

    def test_names_cannot_move_the_cursor(self) -> None:
        error = exception.ImageNotFound(image='\x1b[2Jx\x9b1A')

        self.assertEqual('Error: image x was not found',
                         errors.describe(error).lines()[0])
