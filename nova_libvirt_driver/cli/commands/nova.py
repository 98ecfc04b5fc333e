# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt nova check``: would nova-compute load this driver?

Nova is looked at in a process of its own, with the Python of this one; see
:mod:`nova_libvirt_driver.nova_plugin.probe`. Nothing is changed, no service of
the cloud is asked, and libvirt only about the guests that it has.
"""

import argparse

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands import checklist
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli.doctor import nova_findings
from nova_libvirt_driver.cli.doctor import nova_probe
from nova_libvirt_driver.cli import exit_code

_TIMEOUT_S = 120.0


class NovaCheck(checklist.Checklist):
    """Check whether nova-compute would load this driver, and how.

    Give the files of nova-compute with --config-file; without it, those
    that nova-compute reads by itself are read.

    Run it with the Python of nova-compute: what counts is what is installed
    there. Options that are set, and that Nova's own driver reads, are listed
    with what this driver makes of them.

    Exit code: 0 it would be loaded, 1 it would not; with --strict also when
    an option that is set has no effect, with --guests when a guest of this
    host has a device that this driver cannot start it with.
    With --quiet, only warnings and failures are printed.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--strict', action='store_true',
            help='fail when an option that is set has no effect')
        parser.add_argument(
            '--guests', action='store_true',
            help='ask libvirt for the guests of this host, and fail when one '
            'has what this driver does not manage yet')
        return parser

    def check(
            self, parsed_args: argparse.Namespace
            ) -> tuple[list[checks.Check], int]:
        arguments = base.arguments_of(self)
        facts = nova_probe.ask(
            arguments.config_file, arguments.config_dir,
            timeout_s=arguments.timeout or _TIMEOUT_S,
            guests=parsed_args.guests)
        found = list(nova_findings.findings(facts))
        is_bad = any(
            one.status is checks.Status.FAILURE for one in found) or (
                parsed_args.strict and nova_findings.without_effect(facts))
        return found, (exit_code.ExitCode.FAILED if is_bad
                       else exit_code.ExitCode.DONE)
