# SPDX-License-Identifier: Apache-2.0

"""A command that prints what it has checked, one line each."""

import abc
import argparse
from collections.abc import Sequence
from typing import Any

from cliff import app as cliff_app

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli.output import lines
from nova_libvirt_driver.cli.output import plain_formats

_COLUMNS = ('Status', 'Check', 'Detail', 'Fix')
_CALM = (checks.Status.OK, checks.Status.SKIPPED)


class Checklist(base.Lister, abc.ABC):
    """Prints checks, with --quiet only those that ask for attention."""

    def __init__(
            self, app: cliff_app.App, app_args: argparse.Namespace | None,
            cmd_name: str | None = None) -> None:
        super().__init__(app, app_args, cmd_name=cmd_name)
        plain_formats.install(
            self._formatter_plugins, 'list', lines=lines.LinesFormatter())
        self._code: int = exit_code.ExitCode.DONE

    @abc.abstractmethod
    def check(
            self, parsed_args: argparse.Namespace
            ) -> tuple[Sequence[checks.Check], int]:
        """Return the outcomes and the exit code."""

    @property
    def formatter_default(self) -> str:
        return 'lines'

    def run(self, parsed_args: argparse.Namespace) -> int:
        super().run(parsed_args)
        return self._code

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        found, self._code = self.check(parsed_args)
        return _COLUMNS, rows(
            found, quiet=base.arguments_of(self).verbose_level == 0)


def rows(
        found: Sequence[checks.Check], *,
        quiet: bool) -> list[tuple[str, ...]]:
    """Return what is shown of outcomes, in their order.

    :param quiet: leave out what asks for no attention
    """
    return [
        (one.status.value, one.name, one.detail, one.fix)
        for one in found if not quiet or one.status not in _CALM]
