# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt nova check``: would nova-compute load this driver?

Nova is looked at in a process of its own, with the Python of this one; see
:mod:`nova_libvirt_driver.nova_plugin.probe`. Nothing is changed, and neither
libvirt nor any service of the cloud is asked.
"""

import argparse
from typing import Any

from cliff import app as cliff_app

from nova_libvirt_driver.cli import commands
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli import lines
from nova_libvirt_driver.cli import nova_findings
from nova_libvirt_driver.cli import nova_probe
from nova_libvirt_driver.host import checks

_COLUMNS = ('Status', 'Check', 'Detail', 'Fix')
_TIMEOUT_S = 120.0


class NovaCheck(commands.Lister):
    """Check whether nova-compute would load this driver, and how.

    Give the files of nova-compute with --config-file; without it, those
    that nova-compute reads by itself are read.

    Run it with the Python of nova-compute: what counts is what is installed
    there. Options in [libvirt] that are set are listed with what this driver
    makes of them.

    Exit code: 0 it would be loaded, 1 it would not.
    With --quiet, only warnings and failures are printed.
    """

    def __init__(
            self, app: cliff_app.App, app_args: argparse.Namespace | None,
            cmd_name: str | None = None) -> None:
        super().__init__(app, app_args, cmd_name=cmd_name)
        self._formatter_plugins.extensions.append(lines.extension())
        self._code: int = exit_code.ExitCode.DONE

    @property
    def formatter_default(self) -> str:
        return 'lines'

    def run(self, parsed_args: argparse.Namespace) -> int:
        super().run(parsed_args)
        return self._code

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        arguments = commands.arguments_of(self)
        facts = nova_probe.ask(
            arguments.config_file, arguments.config_dir,
            timeout_s=arguments.timeout or _TIMEOUT_S)
        found = list(nova_findings.findings(facts))
        if any(one.status is checks.Status.FAILURE for one in found):
            self._code = exit_code.ExitCode.FAILED
        quiet = arguments.verbose_level == 0
        return _COLUMNS, [
            (one.status.value, one.name, one.detail, one.fix)
            for one in found if not quiet or one.fix]
