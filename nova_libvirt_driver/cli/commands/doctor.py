# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt doctor``: is this host fit for guests, and if not, why?

Only looks: it makes no folder, defines no guest and changes no record.
"""

import argparse

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands import checklist
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli.doctor import examination
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.compute import embedded

_CODES = {
    checks.Status.WARNING: exit_code.DoctorCode.WARNINGS,
    checks.Status.FAILURE: exit_code.DoctorCode.FAILURES,
}


class Doctor(checklist.Checklist):
    """Check this host and the way to its libvirt, and say what to mend.

    Exit code: 0 all is well, 1 warnings, 2 failures, 255 internal error.
    With --quiet, only warnings and failures are printed.
    """

    def check(
            self, parsed_args: argparse.Namespace
            ) -> tuple[list[checks.Check], int]:
        conf = configuration.load(base.arguments_of(self))
        embedded.prepare(conf)
        about = examination.case(conf)
        found = list(examination.Examination(
            about, lambda read_only: sources.driver(read_only=read_only)
        ).run())
        return found, code(found)


def code(found: list[checks.Check]) -> int:
    """Return the exit code for the outcomes of all checks."""
    return max((_CODES.get(check.status, exit_code.DoctorCode.OK)
                for check in found), default=exit_code.DoctorCode.OK)
