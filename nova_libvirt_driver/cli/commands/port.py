# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt port``: the interfaces of a server, while it is there."""

import argparse
import dataclasses
from typing import Any
from typing import TYPE_CHECKING
import uuid

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli.commands.server import nics
from nova_libvirt_driver.cli.commands.server import verb
from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.cli import naming
from nova_libvirt_driver.cli.output import cells
from nova_libvirt_driver.cli.output import progress
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.spec import nic as nic_spec

if TYPE_CHECKING:
    from nova_libvirt_driver import driver as driver_module
    from nova_libvirt_driver.xmlmodel.devices import interface

Shown = tuple[tuple[str, ...], tuple[Any, ...]]
Listed = tuple[tuple[str, ...], list[tuple[Any, ...]]]

_COLUMNS = ('ID', 'MAC', 'Network', 'Model', 'Device')
_ALIAS = 'ua-'


class PortAttach(base.ShowOne):
    """Give a server one more port, at once and for its next starts.

    Example: nova-libvirt port attach web1 default
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='SERVER', help='name or id')
        parser.add_argument('network', metavar='NETWORK', help=nics.HELP)
        parser.add_argument(
            '--mac', metavar='ADDRESS', type=nics.mac,
            help='address of the card; a new one by default')
        parser.add_argument(
            '--model', metavar='MODEL', default='',
            help="model of the card, such as virtio or e1000; the host's "
            'choice by default')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        nic = nics.one(parsed_args.network)
        nic = dataclasses.replace(
            nic, id=str(uuid.uuid4()), mac=parsed_args.mac or nic.mac,
            model=parsed_args.model)
        with sources.working(arguments) as driver:
            row = naming.on_host(driver, parsed_args.server)
            name = naming.shown(row)
            if any(port.mac == nic.mac for port in _ports(driver, row)):
                raise errors.Conflict(
                    f'server {name} has a port {nic.mac} already',
                    'leave out --mac')
            verb.recorded(driver, row)
            with (progress.shown(
                    self.app.stderr, f'attaching a port to {name}',
                    quiet=not arguments.verbose_level) as line,
                  errors.state(f'see what {name} has: nova-libvirt port '
                               f'list {row.uuid}')):
                driver.attach_nic(driver.get_spec(row), nic, progress=line)
        return ('server', 'id', 'mac', 'network'), (
            cells.Text(name), nic.id, nic.mac,
            cells.Text(nic.source or nic.kind.value))


class PortDetach(base.ShowOne):
    """Take a port from a server.

    Example: nova-libvirt port detach web1 52:54:00:12:34:56
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='SERVER', help='name or id')
        parser.add_argument(
            'port', metavar='PORT', help='id, or address of the card')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        arguments = base.arguments_of(self)
        with sources.working(arguments) as driver:
            row = naming.on_host(driver, parsed_args.server)
            name = naming.shown(row)
            key = _find(driver, row, parsed_args.port)
            with (progress.shown(
                    self.app.stderr, f'detaching a port of {name}',
                    quiet=not arguments.verbose_level) as line,
                  errors.state(f'{name} may have it still; repeat it')):
                driver.detach_nic(row, key, progress=line)
        return ('server', 'id', 'mac', 'status'), (
            cells.Text(name), key.id, key.mac, 'detached')


class PortList(base.Lister):
    """List the ports of a server.

    Example: nova-libvirt port list web1
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('server', metavar='SERVER', help='name or id')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        with sources.local(base.arguments_of(self)) as driver:
            row = naming.on_host(driver, parsed_args.server)
            return _COLUMNS, [(
                _id(port), port.mac,
                cells.Text(port.source_network or port.source_bridge
                           or port.type or ''),
                cells.Text(port.model or ''),
                cells.Text(port.target_dev or ''))
                for port in _ports(driver, row)]


def _ports(
        driver: 'driver_module.LibvirtDriver',
        row: verb.Summary) -> list['interface.Interface']:
    # Lazy, as it brings the model of XML.
    from nova_libvirt_driver.xmlmodel import domain as domain_model

    return list(domain_model.Domain.parse(
        driver.get_domain_xml(row)).devices.interfaces)


def _id(port: 'interface.Interface') -> str:
    alias = port.alias or ''
    return alias.removeprefix(_ALIAS) if alias.startswith(_ALIAS) else ''


def _find(
        driver: 'driver_module.LibvirtDriver', row: verb.Summary,
        word: str) -> nic_spec.NicKey:
    """Return the port that is meant.

    :raises NotFound: the server has none such
    :raises UsageError: it may be one of several
    """
    name = naming.shown(row)
    ports = _ports(driver, row)
    found = [port for port in ports
             if word.lower() in (_id(port), (port.mac or '').lower())]
    if not found:
        raise errors.NotFound(
            f'server {name} has no port {word}', naming.advice(
                word, [port.mac or '' for port in ports],
                f'nova-libvirt port list {name}'))
    if len(found) > 1:
        raise errors.UsageError(
            f'{word} is the address of {len(found)} ports', 'name it by its '
            f'id: nova-libvirt port list {name}')
    return nic_spec.NicKey(
        id=_id(found[0]), mac=(found[0].mac or '').lower(),
        target_dev=found[0].target_dev or '')
