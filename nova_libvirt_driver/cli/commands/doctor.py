# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt doctor``: is this host fit for guests, and if not, why?

Only looks: it defines no guest and changes no record. Of an embedded QEMU it
prepares the folder, without which there is nothing to look at.
"""

import argparse
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands import checklist
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli.doctor import checks
from nova_libvirt_driver.cli.doctor import examination
from nova_libvirt_driver.cli import exit_code
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.compute import embedded
from nova_libvirt_driver import exception

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module

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
        arguments = base.arguments_of(self)
        conf = configuration.load(arguments)
        held: exception.HypervisorUnavailable | None = None
        served: driver_module.LibvirtDriver | None = None
        try:
            served = sources.in_service(conf, arguments)
            embedded.choose_virt_type(conf)
        except exception.HypervisorUnavailable as error:
            held = error

        def open_driver(read_only: bool) -> 'driver_module.LibvirtDriver':
            if held is not None:
                raise held
            return served or sources.driver(read_only=read_only)

        about = examination.case(conf, served=served is not None)
        found = list(examination.Examination(about, open_driver).run())
        return found, code(found)


def code(found: list[checks.Check]) -> int:
    """Return the exit code for the outcomes of all checks."""
    return max((_CODES.get(check.status, exit_code.DoctorCode.OK)
                for check in found), default=exit_code.DoctorCode.OK)
