# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt service``: does this host take new instances?

Reads and writes the record of the stand-alone compute service, whether the
service runs or not. It sets an operator's mark only, never the driver's.
"""

import argparse
from typing import Any

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.compute import record as record_module

Shown = tuple[tuple[str, ...], tuple[Any, ...]]

_FIELDS = ('host', 'enabled', 'reason', 'disabled_by', 'updated_at')


class ServiceShow(base.ShowOne):
    """Show whether this host takes new instances, and why not."""

    remote = True

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        if arguments.rpc:
            status = sources.status(arguments)
            return tuple(status), tuple(status.values())
        return _shown(_record_file(arguments).load())


class ServiceEnable(base.ShowOne):
    """Let this host take new instances again.

    Lifts an operator's "service disable". What the driver has disabled,
    because it cannot reach libvirt, it enables by itself.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        file = _record_file(base.arguments_of(self))
        return _shown(file.set_by_operator(True))


class ServiceDisable(base.ShowOne):
    """Let this host take no new instances; its guests go on running."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--reason', default='', metavar='TEXT',
            help='why, for those who look at the record')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        file = _record_file(base.arguments_of(self))
        return _shown(file.set_by_operator(False, parsed_args.reason))


def _record_file(
        arguments: argparse.Namespace) -> record_module.ServiceRecordFile:
    conf = configuration.load(arguments)
    return record_module.ServiceRecordFile(conf.state_path, conf.host)


def _shown(record: record_module.ServiceRecord) -> Shown:
    fields = record.as_dict()
    return _FIELDS, tuple(fields[name] for name in _FIELDS)
