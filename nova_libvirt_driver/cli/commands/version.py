# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt version``: what is installed here.

Needs neither a configuration nor a libvirt that can be reached.
"""

import argparse
import platform
from typing import Any

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.host import versions
from nova_libvirt_driver import version

_MISSING = 'not installed'


class Version(base.ShowOne):
    """Show the versions of the package and of what it stands on."""

    def take_action(
            self, parsed_args: argparse.Namespace
            ) -> tuple[tuple[str, ...], tuple[Any, ...]]:
        found = versions.installed()
        return (
            ('nova-libvirt-driver', 'libvirt-python', 'libvirt', 'python'),
            (version.version(), found.binding or _MISSING,
             found.library or _MISSING, platform.python_version()))
