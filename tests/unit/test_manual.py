# SPDX-License-Identifier: Apache-2.0

"""What the pages for contributors say of the source is so."""

import ast
from collections.abc import Iterator
import re

from tests import base
from tests.unit import test_architecture as architecture

ROOT = architecture.ROOT
CODE = ROOT / architecture.PACKAGE
TESTS = ROOT / 'tests'
MANUAL = ROOT / 'doc' / 'source' / 'contributor'
PAGES = tuple(sorted(MANUAL.glob('*.rst')))
EXAMPLE = 'tests/functional/stand_alone.py'
DESCRIBED = ('privileged', 'calls', 'events', 'connection')

# Where a file that a page names is looked for.
PLACES = (ROOT, CODE, CODE / 'operations', TESTS, TESTS / 'unit',
          TESTS / 'functional')

# What the examples of the recipes add, and the tree has not.
OF_THE_RECIPES: frozenset[str] = frozenset()


class ManualTest(base.TestCase):

    def section(self, begin: str, end: str) -> str:
        """Return a part of the architecture page."""
        page = (MANUAL / 'architecture.rst').read_text()
        return page[page.index(f'{begin}\n'):page.index(f'{end}\n')]

    def test_tables_name_the_modules(self) -> None:
        tables = self.section('A service without rights', 'Threads')
        named = re.findall(r'^``(\w+)``  ', tables, re.MULTILINE)

        self.assertEqual(sorted(named), sorted(
            source.path.stem for source in architecture.sources()
            if source.part in DESCRIBED and source.path.stem != '__init__'))

    def test_table_has_every_arrow(self) -> None:
        table = self.section(
            'Which way imports go', 'Some libraries have their places, too:')
        rows = re.findall(
            r'^``(\w+)`` +(\w[^`=]*)', table, re.MULTILINE)
        found = {part: _parts_in(words) - {part} for part, words in rows}

        self.assertEqual(
            {part: allowed - {part}
             for part, allowed in architecture.ARROWS.items()},
            found)

    def test_list_has_every_thread_of_the_driver(self) -> None:
        listed = set(re.findall(
            r'``([a-z-]+)(?:\.\.\.)?``(?:, |$)',
            self.section('Threads', 'Turns'), re.MULTILINE))
        named = {
            name for source in architecture.sources()
            if source.part not in architecture.FRONT_DOORS | {'testing'}
            for node in ast.walk(source.tree)
            for name in _thread_names(node)}

        self.assertGreater(len(named), 8)
        self.assertEqual(set(), named - listed)

    def test_example_imports_what_is_public(self) -> None:
        tree = ast.parse((ROOT / EXAMPLE).read_text())
        parts = {found.part for found in architecture.imports(
            tree, in_function=False)}
        page = (MANUAL / 'public.rst').read_text()

        self.assertEqual([], [
            part for part in parts - {None, '__init__'}
            if f'\n``{architecture.PACKAGE}.{part}' not in page])

    def test_files_exist_that_are_named(self) -> None:
        named = {
            name for page in (ROOT / 'CONTRIBUTING.rst', *PAGES)
            for name in re.findall(
                r'``(\w[\w/]*/\w+\.\w+)``', page.read_text())}

        self.assertGreater(len(named), 20)
        self.assertEqual([], sorted(
            name for name in named - OF_THE_RECIPES
            if not any((folder / name).exists() for folder in PLACES)))

    def test_members_exist_that_are_named(self) -> None:
        named = {
            name for page in PAGES for name in re.findall(
                r'``([A-Z][a-z]\w+\.\w+)``', page.read_text())}

        self.assertGreater(len(named), 4)
        self.assertEqual(set(), named.difference(
            f'{owner.name}.{name}' for source in architecture.sources()
            for owner in ast.walk(source.tree)
            if isinstance(owner, ast.ClassDef)
            for name in _members(owner)))


def _members(owner: ast.ClassDef) -> Iterator[str]:
    """Yield the names of the methods and the attributes of a class."""
    for node in ast.walk(owner):
        if isinstance(node, ast.FunctionDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and ast.unparse(
                node.value) == 'self':
            yield node.attr


def _parts_in(words: str) -> frozenset[str]:
    """Return the parts that a row of the table of arrows names."""
    spelt_out = words.replace('the core', ' '.join(architecture.CORE))
    return frozenset(re.findall(r'\w+', spelt_out)) - {'nothing'}


def _thread_names(node: ast.AST) -> Iterator[str]:
    """Yield how the thread that a call makes is named, if it makes one."""
    if not isinstance(node, ast.Call) or not ast.unparse(
            node.func).endswith(('Thread', 'Worker', '.thread')):
        return
    names = [one.value for one in node.keywords if one.arg == 'name']
    for name in names or node.args[:1]:
        if isinstance(name, ast.JoinedStr):
            name = name.values[0]
        if isinstance(name, ast.Constant):
            yield str(name.value)
