# SPDX-License-Identifier: Apache-2.0

"""Loading through Nova's own code, in environments of many kinds."""

from collections.abc import Callable
import dataclasses
import json
import pathlib
import unittest

from tests.nova import environments

DRIVER = 'nova_libvirt_driver.LibvirtDriver'
DRIVER_MODULE = 'nova_libvirt_driver.nova_plugin.driver'

# As nova-compute does it, up to where it asks for its services.
LOAD = """
import json, sys
sys.argv = ['nova-compute', '--config-file', sys.argv[1]]
import nova.cmd.compute
from nova import config
config.parse_args(sys.argv, configure_db=False, init_rpc=False)
from nova.virt import driver
made = driver.load_compute_driver(None)
import nova_libvirt_driver
patcher = sys.modules.get('eventlet.patcher')
print(json.dumps({
    'module': type(made).__module__,
    'nova': nova.__file__,
    'ours': nova_libvirt_driver.__file__,
    'patched': bool(patcher and patcher.is_monkey_patched('thread'))}))
"""

# The value of OS_NOVA_DISABLE_EVENTLET_PATCHING, and whether Nova patches.
NATIVE = ('true', False)
EVENTLET = ('false', True)


@dataclasses.dataclass(frozen=True)
class Case:
    """An environment, and the folders from which both are to be loaded."""

    environment: environments.Environment
    nova: pathlib.Path
    ours: pathlib.Path


def nova_regular(name: str, **options: object) -> Case:
    made = environments.Environment(
        name, environments.libraries(), **options)  # type: ignore[arg-type]
    made.link(environments.nova_folder())
    return Case(made, made.site, made.site)


def nova_elsewhere(name: str, **options: object) -> Case:
    """Nova as of a distribution's package, in a folder that comes later."""
    made = environments.Environment(
        name, environments.libraries(), environments.nova_folder(),
        **options)  # type: ignore[arg-type]
    return Case(made, environments.nova_folder(), made.site)


def nova_editable(name: str, **options: object) -> Case:
    made = environments.Environment(
        name, environments.libraries(), **options)  # type: ignore[arg-type]
    made.install('-e', environments.nova_source())
    return Case(made, environments.nova_source(), made.site)


class LoadingTest(unittest.TestCase):

    def check(self, case: Case) -> None:
        """See that it is loaded in all modes, from where it should be."""
        # Those before know no native threads.
        modes = ([NATIVE, EVENTLET] if environments.nova_release() >= 33
                 else [EVENTLET])
        config = case.environment.configuration(DRIVER)
        for disabled, patched in modes:
            with self.subTest(eventlet_disabled=disabled):
                lines = case.environment.run(
                    '-c', LOAD, config,
                    OS_NOVA_DISABLE_EVENTLET_PATCHING=disabled).splitlines()

                self.assertEqual({
                    'module': DRIVER_MODULE, 'patched': patched,
                    'nova': str(case.nova / 'nova' / '__init__.py'),
                    'ours': str(case.ours / 'nova_libvirt_driver'
                                / '__init__.py')}, json.loads(lines[-1]))

    def check_regular(self, make: Callable[[str], Case]) -> None:
        case = make(self.id())
        case.environment.install(environments.our_wheel())
        self.check(case)

    def check_editable(self, make: Callable[[str], Case]) -> None:
        case = make(self.id())
        case.environment.install('-e', environments.our_source())
        self.check(dataclasses.replace(
            case, ours=environments.our_source()))

    def check_user(self, make: Callable[..., Case]) -> None:
        """Ours is in the folder of a user, which comes before the others."""
        base = environments.work() / f'{self.id()}-user'
        case = make(self.id(), options=('--system-site-packages',),
                    PYTHONUSERBASE=str(base))
        case.environment.install('--user', environments.our_wheel())
        site, = base.glob('lib/python*/site-packages')
        self.check(dataclasses.replace(case, ours=site))

    def test_both_regular(self) -> None:
        self.check_regular(nova_regular)

    def test_nova_elsewhere_ours_regular(self) -> None:
        self.check_regular(nova_elsewhere)

    def test_nova_editable_ours_regular(self) -> None:
        self.check_regular(nova_editable)

    def test_nova_regular_ours_editable(self) -> None:
        self.check_editable(nova_regular)

    def test_nova_elsewhere_ours_editable(self) -> None:
        self.check_editable(nova_elsewhere)

    def test_both_editable(self) -> None:
        self.check_editable(nova_editable)

    def test_nova_regular_ours_of_a_user(self) -> None:
        self.check_user(nova_regular)

    def test_nova_elsewhere_ours_of_a_user(self) -> None:
        self.check_user(nova_elsewhere)

    def test_nova_editable_ours_of_a_user(self) -> None:
        self.check_user(nova_editable)

    def test_a_wheel_over_an_editable_one_and_back(self) -> None:
        case = nova_elsewhere(self.id())
        for ours, words in (
                (environments.our_source(),
                 ('-e', environments.our_source())),
                (case.ours, (environments.our_wheel(),)),
                (environments.our_source(),
                 ('-e', environments.our_source()))):
            case.environment.install('--force-reinstall', *words)

        self.check(dataclasses.replace(case, ours=ours))
