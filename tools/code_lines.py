#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0

"""Counts code lines for each folder: no blank, comment or docstring.

usage: tools/code_lines.py
"""

import ast
import collections
import io
import pathlib
import tokenize

ROOT = pathlib.Path(__file__).parents[1] / 'nova_libvirt_driver'

APART = ('cli', 'compute', 'testing')
"""Folders that do not count as the driver."""

_NO_CODE = frozenset({
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT,
    tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER})


def count(source: str) -> int:
    """Return how many lines of a module have code."""
    lines = {
        line for token in tokenize.generate_tokens(io.StringIO(
            source).readline) if token.type not in _NO_CODE
        for line in range(token.start[0], token.end[0] + 1)}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            lines -= _docstrings(node)
    return len(lines)


def _docstrings(
        node: ast.Module | ast.ClassDef | ast.FunctionDef) -> set[int]:
    return {
        line for child in node.body
        if isinstance(child, ast.Expr)
        and isinstance(child.value, ast.Constant)
        and isinstance(child.value.value, str)
        for line in range(child.lineno, (child.end_lineno or 0) + 1)}


def by_folder() -> dict[str, int]:
    """Return the code lines of each folder; '.' is the top level."""
    found: collections.Counter[str] = collections.Counter()
    for path in ROOT.rglob('*.py'):
        folder = path.relative_to(ROOT).parts[0]
        found['.' if folder == path.name else folder] += count(
            path.read_text(encoding='utf-8'))
    return dict(sorted(found.items()))


def main() -> None:
    found = by_folder()
    for folder, lines in found.items():
        print(f'{lines:7}  {folder}')
    driver = sum(lines for folder, lines in found.items()
                 if folder not in APART)
    print(f'{driver:7}  the driver, without {", ".join(APART)}')


if __name__ == '__main__':
    main()
