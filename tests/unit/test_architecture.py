# SPDX-License-Identifier: Apache-2.0

"""Who may import whom, and how large a part may become.

The rules are those of the architecture page; a part that is not in the
table below has to be put there.
"""

import ast
from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import functools
import graphlib
import pathlib
import subprocess
import sys

from tests import base

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = 'nova_libvirt_driver'

SPDX = '# SPDX-License-Identifier: Apache-2.0'

MAX_FILE_LINES = 600
# The contract, and the two that hand over each of its verbs.
MAX_SWITCHBOARD_LINES = 900
SWITCHBOARDS = ('base.py', 'driver.py', 'nova_plugin/driver.py')
MAX_BODY_LINES = 50

CORE = frozenset({
    'calls', 'connection', 'events', 'exception', 'ports', 'spec'})
FRONT_DOORS = frozenset({'cli', 'compute', 'nova_plugin'})
NOVA_PARTS = frozenset({'nova_plugin'})

# Each part of the package, and what of it the part may import.
ARROWS: dict[str, frozenset[str]] = {
    '__init__': frozenset({'driver'}),
    'assembly': CORE | {'conf', 'guest', 'host', 'messaging', 'operations',
                        'storage', 'volumes'},
    'base': frozenset({'ports', 'spec'}),
    'building': frozenset({'spec', 'version'}),
    'calls': frozenset({'calls', 'exception', 'ports', 'spec'}),
    'cli': CORE | {'base', 'building', 'cli', 'compute', 'conf', 'driver',
                   'filesystem', 'guest', 'host', 'images', 'monitoring',
                   'privileged', 'storage', 'version', 'volumes',
                   'xmlmodel'},
    'compute': CORE | {'base', 'compute', 'conf', 'driver', 'filesystem',
                       'images', 'messaging', 'monitoring', 'privileged',
                       'testing', 'version'},
    'conf': frozenset({'conf', 'exception', 'spec'}),
    'configurators': frozenset({'configurators', 'exception', 'spec',
                                'xmlmodel'}),
    'connection': CORE,
    'driver': CORE | {'assembly', 'base', 'conf', 'guest', 'host', 'storage',
                      'volumes'},
    'events': frozenset({'calls', 'events', 'exception', 'spec'}),
    'exception': frozenset(),
    'filesystem': frozenset({'filesystem'}),
    'guest': frozenset({'calls', 'connection', 'events', 'exception',
                        'filesystem', 'guest', 'spec', 'xmlmodel'}),
    'host': frozenset({'calls', 'connection', 'events', 'exception', 'guest',
                       'host', 'spec', 'xmlmodel'}),
    'images': frozenset({'exception', 'filesystem', 'images', 'ports',
                         'spec', 'storage'}),
    'messaging': frozenset({'calls', 'exception', 'messaging', 'spec'}),
    'monitoring': CORE | {'base', 'filesystem', 'monitoring', 'version'},
    'nova_plugin': CORE | {'base', 'conf', 'driver', 'images',
                           'monitoring', 'nova_plugin', 'version',
                           'volumes', 'xmlmodel'},
    'operations': frozenset({'configurators', 'events', 'exception',
                             'filesystem', 'guest', 'host', 'operations',
                             'ports',
                             'privileged', 'spec', 'storage', 'volumes',
                             'xmlmodel'}),
    'ports': frozenset({'exception', 'spec'}),
    'privileged': frozenset({'conf', 'exception', 'privileged'}),
    'spec': frozenset({'spec'}),
    'storage': frozenset({'calls', 'exception', 'filesystem', 'ports',
                          'privileged', 'spec', 'storage', 'xmlmodel'}),
    'testing': CORE | {'base', 'driver', 'testing'},
    'version': frozenset(),
    'volumes': frozenset({'exception', 'filesystem', 'guest', 'ports',
                          'spec', 'storage', 'volumes', 'xmlmodel'}),
    'xmlmodel': frozenset({'xmlmodel'}),
}

# Code lines that each folder may have, see tools/code_lines.py. More of them
# want a reason, such as another part of Nova's contract.
BUDGETS = {
    '.': 1361,
    'calls': 1023,
    'cli': 6720,
    'compute': 2566,
    'conf': 969,
    'configurators': 1692,
    'connection': 1175,
    'events': 982,
    'filesystem': 176,
    'guest': 2116,
    'host': 492,
    'images': 594,
    'messaging': 162,
    'monitoring': 840,
    'nova_plugin': 4559,
    'operations': 4897,
    'privileged': 290,
    'spec': 1111,
    'storage': 4492,
    'testing': 3910,
    'volumes': 1018,
    'xmlmodel': 1300,
}

# Through how many files a reader may have to follow a verb, see tools/hops.py.
HOPS = {'spawn': 56, 'get_info': 8, 'pause': 12, 'destroy': 24}

# Whose log lines are about one instance, and those that are not.
LOGS_NAME_INSTANCES = ('guest', 'operations')
LOGS_OF_THE_HOST = ('operations/image_cache.py', 'operations/recovery.py')

# What has an effect, or an idea of time, is no place for plain values.
IMPURE = frozenset({
    'asyncio', 'datetime', 'io', 'libvirt', 'logging', 'oslo_config',
    'oslo_log', 'os', 'pathlib', 'psutil', 'random', 'shutil', 'socket',
    'subprocess', 'sys', 'tempfile', 'threading', 'time'})

PURE_PARTS = frozenset({'configurators', 'spec', 'xmlmodel'})
LIBVIRT_PARTS = frozenset({
    'calls', 'connection', 'events', 'guest', 'host', 'testing'})
CONF_PARTS = FRONT_DOORS | {'assembly', 'conf', 'privileged'}

# Files that may import eventlet; in the second one inside a function.
EVENTLET_FILES = ('calls/green.py', 'events/inbox.py')

# The files that may make a thread of the standard library's and keep it.
THREAD_FILES = ('calls/runtime.py', 'testing/stepped.py')

# The one file that imports all operations.
OPERATIONS_FILE = 'operations/operations.py'

# The one file that locks files.
LOCK_FILE = 'filesystem/locking.py'

# The one file that needs the extra [metrics].
METRICS_FILE = 'monitoring/metrics.py'

# The one file through which the others reach the privileged functions.
PRIVILEGED_DOOR = 'privileged/client'

# The one file of the product that needs a rig: it makes a guest to show.
RIG_FILES = ('compute/demo.py',)


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported module, or name of a module."""

    name: str
    lineno: int
    in_function: bool

    @property
    def top(self) -> str:
        return self.name.partition('.')[0]

    @property
    def part(self) -> str | None:
        """The part of the package, None for another package."""
        words = self.name.split('.')
        if words[0] != PACKAGE:
            return None
        return words[1] if len(words) > 1 else '__init__'


@dataclasses.dataclass(frozen=True)
class Source:
    """One file of the package."""

    path: pathlib.Path

    @property
    def relative(self) -> str:
        return self.path.relative_to(ROOT / PACKAGE).as_posix()

    @property
    def part(self) -> str:
        return self.relative.partition('/')[0].removesuffix('.py')

    @property
    def module(self) -> str:
        name = self.path.relative_to(ROOT).with_suffix('').as_posix()
        return name.replace('/', '.').removesuffix('.__init__')

    @functools.cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding='utf-8'))

    @functools.cached_property
    def imports(self) -> tuple[Import, ...]:
        return tuple(imports(self.tree, in_function=False))


def imports(node: ast.AST, *, in_function: bool) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield Import(alias.name, node.lineno, in_function)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            # A relative import would show as a name without a package.
            yield Import(f'{node.module or "."}.{alias.name}', node.lineno,
                         in_function)
    inside = in_function or isinstance(node, ast.FunctionDef)
    for child in ast.iter_child_nodes(node):
        yield from imports(child, in_function=inside)


@functools.cache
def sources() -> tuple[Source, ...]:
    """Return all files of the package."""
    return tuple(Source(path)
                 for path in sorted((ROOT / PACKAGE).rglob('*.py')))


def offences(allowed: Iterable[str], wanted: str) -> list[str]:
    """Return where files of other parts import a package."""
    parts = set(allowed)
    return [f'{source.relative}:{found.lineno}'
            for source in sources() if source.part not in parts
            for found in source.imports if found.top == wanted]


class ArrowTest(base.TestCase):

    def test_there_is_something_to_look_at(self) -> None:
        self.assertGreater(len(sources()), 50)
        self.assertGreater(sum(len(one.imports) for one in sources()), 300)

    def test_every_part_has_its_arrows(self) -> None:
        self.assertEqual(
            set(), {source.part for source in sources()} - set(ARROWS))

    def test_no_arrow_points_the_wrong_way(self) -> None:
        wrong = [
            f'{source.relative}:{found.lineno} imports {found.name}'
            for source in sources() for found in source.imports
            if found.part is not None
            and found.part not in ARROWS.get(source.part, ())]

        self.assertEqual([], wrong)

    def test_all_imports_are_absolute(self) -> None:
        self.assertEqual([], [
            f'{source.relative}:{node.lineno}' for source in sources()
            for node in ast.walk(source.tree)
            if isinstance(node, ast.ImportFrom) and node.level])

    def test_no_modules_import_each_other_in_a_circle(self) -> None:
        known = {source.module for source in sources()}
        graph = {source.module: {
            module for found in source.imports
            if (module := _module_of(found, known)) is not None}
            for source in sources()}

        try:
            graphlib.TopologicalSorter(graph).prepare()
        except graphlib.CycleError as error:
            self.fail(' -> '.join(error.args[1]))

    def test_only_the_front_doors_name_the_driver(self) -> None:
        self.assertEqual([], [
            source.relative for source in sources()
            if source.part not in FRONT_DOORS | {'__init__', 'testing'}
            for found in source.imports if found.part == 'driver'])

    def test_only_the_front_doors_know_of_each_other(self) -> None:
        self.assertEqual([], [
            f'{source.relative}:{found.lineno} imports {found.name}'
            for source in sources() if source.part not in FRONT_DOORS
            for found in source.imports if found.part in FRONT_DOORS])

    def test_no_operation_imports_another(self) -> None:
        steps = f'{PACKAGE}.operations.steps.'

        self.assertEqual([], [
            f'{source.relative}:{found.lineno} imports {found.name}'
            for source in sources() if source.part == 'operations'
            and source.relative != OPERATIONS_FILE
            for found in source.imports
            if found.part == 'operations'
            and not found.name.startswith(steps)])

    def test_only_the_demonstration_needs_a_rig(self) -> None:
        self.assertEqual([], [
            source.relative for source in sources()
            if source.part != 'testing' and source.relative not in RIG_FILES
            for found in source.imports if found.part == 'testing'])

    def test_plain_values_have_no_effects(self) -> None:
        self.assertEqual([], [
            f'{source.relative}: {found.name}' for source in sources()
            if source.part in PURE_PARTS
            for found in source.imports if found.top in IMPURE])


def _module_of(found: Import, known: set[str]) -> str | None:
    """Return the module that an import loads, of those known.

    ``from package import module`` needs the module; that the package is
    loaded too makes no circle, it imports nothing by itself.
    """
    for name in (found.name, found.name.rpartition('.')[0]):
        if name in known and name != PACKAGE:
            return name
    return None


class LibraryTest(base.TestCase):

    def test_libvirt_is_imported_where_it_is_spoken_to(self) -> None:
        self.assertEqual([], offences(LIBVIRT_PARTS, 'libvirt'))

    def test_xml_is_read_and_written_by_the_model_only(self) -> None:
        """A rig stands for libvirt, and has a reader of its own."""
        for package in ('lxml', 'xml'):
            self.assertEqual([], offences({'testing', 'xmlmodel'}, package))

    def test_nova_is_imported_by_its_plugin_only(self) -> None:
        for package in ('nova', 'os_brick', 'os_vif', 'os_resource_classes',
                        'os_traits'):
            self.assertEqual([], offences(NOVA_PARTS, package))

    def test_eventlet_is_imported_by_its_own_files_only(self) -> None:
        found = {(source.relative, one.in_function)
                 for source in sources() for one in source.imports
                 if one.top == 'eventlet'}

        self.assertEqual({(EVENTLET_FILES[0], False),
                          (EVENTLET_FILES[1], True)}, found)

    def test_whoever_imports_eventlet_is_imported_in_functions(self) -> None:
        name = f'{PACKAGE}.calls.green'

        self.assertEqual([], [
            f'{source.relative}:{found.lineno}' for source in sources()
            for found in source.imports
            if found.name == name and not found.in_function])

    def test_a_thread_that_can_be_joined_is_one_of_ours(self) -> None:
        self.assertEqual([], [
            f'{source.relative}:{node.lineno}' for source in sources()
            if source.relative not in THREAD_FILES
            for node in _threads_kept(source.tree)])

    def test_privsep_is_loaded_only_by_who_needs_its_rights(self) -> None:
        """It loads eventlet wherever that is installed."""
        client = f'{PACKAGE}.{PRIVILEGED_DOOR}'.replace('/', '.')

        self.assertEqual([], offences({'privileged'}, 'oslo_privsep'))
        self.assertEqual([], [
            f'{source.relative}:{found.lineno}' for source in sources()
            for found in source.imports
            if found.part == 'privileged' and source.part != 'privileged'
            and found.name != client])
        self.assertEqual({True}, {
            found.in_function for source in sources()
            if source.module == client for found in source.imports
            if found.top == 'oslo_privsep' or (
                found.part == 'privileged'
                and not found.name.endswith('.names'))})

    def test_files_are_locked_in_one_way(self) -> None:
        self.assertEqual([], [
            f'{source.relative}:{node.lineno}' for source in sources()
            if source.part != 'testing' and source.relative != LOCK_FILE
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Attribute)
            and node.attr in ('flock', 'lockf')])

    def test_prometheus_is_needed_by_one_file_only_when_wanted(self) -> None:
        found = {source.relative for source in sources()
                 for one in source.imports if one.top == 'prometheus_client'}
        wanted = [one.in_function for source in sources()
                  for one in source.imports
                  if one.name == f'{PACKAGE}.monitoring.metrics']

        self.assertEqual({METRICS_FILE}, found)
        self.assertEqual([True], wanted)

    def test_process_wide_options_are_read_by_few(self) -> None:
        self.assertEqual([], [
            source.relative for source in sources()
            if source.part not in CONF_PARTS
            for node in ast.walk(source.tree) if _is_conf(node)])


def _threads_kept(tree: ast.AST) -> Iterator[ast.Call]:
    """Yield what makes a thread and does not merely start it."""
    started = {
        node.func.value for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == 'start'}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node not in started and (
                ast.unparse(node.func) in (
                    'threading.Thread', 'threading.Timer')):
            yield node


def _is_conf(node: ast.AST) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr == 'CONF'
            or isinstance(node, ast.ImportFrom)
            and any(alias.name == 'CONF' for alias in node.names))


class LogTest(base.TestCase):
    """Operators look for ``[instance: UUID]`` in logs."""

    def test_what_is_said_of_an_instance_names_it(self) -> None:
        self.assertEqual([], [
            f'{source.relative}:{node.lineno}'
            for source in sources() if source.part in LOGS_NAME_INSTANCES
            and source.relative not in LOGS_OF_THE_HOST
            for node in ast.walk(source.tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == 'LOG'
            and 'instance' not in {word.arg for word in node.keywords}])


class SizeTest(base.TestCase):

    def test_no_file_is_too_long(self) -> None:
        self.assertEqual([], [
            source.relative for source in sources()
            if len(source.path.read_text().splitlines()) > (
                MAX_SWITCHBOARD_LINES if source.relative in SWITCHBOARDS
                else MAX_FILE_LINES)])

    def test_no_function_is_too_long(self) -> None:
        self.assertEqual([], [
            f'{source.relative}: {node.name}' for source in sources()
            for node in ast.walk(source.tree)
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
            and _body_lines(node) > MAX_BODY_LINES])

    def test_no_folder_is_larger_than_its_budget(self) -> None:
        said = subprocess.run(
            [sys.executable, ROOT / 'tools' / 'code_lines.py'],
            capture_output=True, text=True, check=True).stdout
        rows = [line.split() for line in said.splitlines()[:-1]]
        found = {folder: int(lines) for lines, folder in rows}

        self.assertEqual(BUDGETS.keys(), found.keys())
        self.assertEqual({}, {
            folder: lines for folder, lines in found.items()
            if lines > BUDGETS[folder]})

    def test_verbs_do_not_cross_too_many_files(self) -> None:
        said = subprocess.run(
            [sys.executable, ROOT / 'tools' / 'hops.py'],
            capture_output=True, text=True, check=True).stdout
        found = {row[0]: int(row[3]) for row in map(
            str.split, said.splitlines())}

        self.assertEqual(HOPS.keys(), found.keys())
        self.assertEqual({}, {verb: files for verb, files in found.items()
                              if files > HOPS[verb]})

    def test_every_file_names_its_licence_first(self) -> None:
        self.assertEqual([], [
            source.relative for source in sources()
            if not source.path.read_text().startswith(f'{SPDX}\n')])

    def test_every_file_says_what_it_is_for(self) -> None:
        self.assertEqual([], [
            source.relative for source in sources()
            if not ast.get_docstring(source.tree)])


def _body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the length of a function's body without its docstring."""
    body = node.body[ast.get_docstring(node) is not None:]
    if not body:
        return 0
    return (body[-1].end_lineno or 0) - body[0].lineno + 1
