# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt doctor``: is this host fit for guests, and if not, why?

Only looks: it makes no folder, defines no guest and changes no record.
"""

import argparse
from typing import Any

from cliff import app as cliff_app

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli.doctor import examination
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli.output import lines
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.compute import embedded

_COLUMNS = ('Status', 'Check', 'Detail', 'Fix')
_CODES = {
    checks.Status.WARNING: exit_code.DoctorCode.WARNINGS,
    checks.Status.FAILURE: exit_code.DoctorCode.FAILURES,
}


class Doctor(base.Lister):
    """Check this host and the way to its libvirt, and say what to mend.

    Exit code: 0 all is well, 1 warnings, 2 failures, 255 internal error.
    With --quiet, only warnings and failures are printed.
    """

    def __init__(
            self, app: cliff_app.App, app_args: argparse.Namespace | None,
            cmd_name: str | None = None) -> None:
        super().__init__(app, app_args, cmd_name=cmd_name)
        self._formatter_plugins.extensions.append(lines.extension())
        self._code: int = exit_code.DoctorCode.OK

    @property
    def formatter_default(self) -> str:
        return 'lines'

    def run(self, parsed_args: argparse.Namespace) -> int:
        super().run(parsed_args)
        return self._code

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        arguments = base.arguments_of(self)
        conf = configuration.load(arguments)
        embedded.prepare(conf)
        about = examination.case(conf)
        found = list(examination.Examination(
            about, lambda read_only: sources.driver(read_only=read_only)
        ).run())
        self._code = code(found)
        return _COLUMNS, rows(found, quiet=arguments.verbose_level == 0)


def code(found: list[checks.Check]) -> int:
    """Return the exit code for the outcomes of all checks."""
    return max((_CODES.get(check.status, exit_code.DoctorCode.OK)
                for check in found), default=exit_code.DoctorCode.OK)


def rows(
        found: list[checks.Check], *, quiet: bool) -> list[tuple[str, ...]]:
    """Return what is shown of the outcomes, in their order.

    :param quiet: leave out what needs nobody's attention
    """
    return [
        (check.status.value, check.name, check.detail, check.fix)
        for check in found if not quiet or check.status in _CODES]
