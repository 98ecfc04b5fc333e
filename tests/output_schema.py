# SPDX-License-Identifier: Apache-2.0

"""What the manual promises of the JSON that commands print."""

from collections.abc import Sequence
import copy
import functools
import json
import pathlib
from typing import Any

import jsonschema

from nova_libvirt_driver.cli import table

PATH = (pathlib.Path(__file__).parents[1]
        / 'doc' / 'source' / 'cli' / 'output-schema.json')


@functools.cache
def document() -> dict[str, Any]:
    """Return all of it; objects may have what it names and nothing else."""
    read: dict[str, Any] = json.loads(PATH.read_text())
    jsonschema.Draft202012Validator.check_schema(read)
    _close(read)
    return read


def command_in(words: Sequence[str]) -> str:
    """Return the command of a command line; options may be between."""
    def is_there(name: str) -> bool:
        rest = iter(words)
        return all(word in rest for word in name.split())

    return max(filter(is_there, table.COMMANDS), key=len)


def check(words: Sequence[str], printed: Any) -> None:
    """See that what a command has printed is as promised.

    :param words: the command line
    :raises jsonschema.ValidationError: it is not
    """
    schema = copy.copy(document()['commands'][command_in(words)])
    jsonschema.validate(
        printed, {**schema, '$defs': document()['$defs']},
        jsonschema.Draft202012Validator)


def _close(schema: Any) -> None:
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        if 'properties' in schema and 'required' in schema:
            schema['additionalProperties'] = False
        for each in schema.values():
            _close(each)
