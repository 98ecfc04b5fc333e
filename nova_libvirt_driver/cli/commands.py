# SPDX-License-Identifier: Apache-2.0

"""The table of commands, and what they have in common.

A command's module is imported when the command is run or described, not
before: that keeps the start short.
"""

import argparse
import importlib.metadata

from cliff import command
from cliff import commandmanager
from cliff import lister
from cliff import show

_MODULES = 'nova_libvirt_driver.cli.'

COMMANDS = {
    'complete': 'completion:Complete',
    'doctor': 'doctor:Doctor',
    'events': 'events:Events',
    'explain': 'explain:Explain',
    'flavor list': 'flavor:FlavorList',
    'health': 'health:Health',
    'help': 'help:Help',
    'host show': 'host:HostShow',
    'image add': 'image:ImageAdd',
    'image delete': 'image:ImageDelete',
    'image list': 'image:ImageList',
    'nova check': 'nova:NovaCheck',
    'server console attach': 'server_console:ConsoleAttach',
    'server console log': 'server_console:ConsoleLog',
    'server console url': 'server_console:ConsoleUrl',
    'server create': 'server_create:ServerCreate',
    'server delete': 'server_change:ServerDelete',
    'server diff': 'server_xml:ServerDiff',
    'server list': 'server:ServerList',
    'server pause': 'server_power:ServerPause',
    'server reboot': 'server_power:ServerReboot',
    'server rename': 'server_change:ServerRename',
    'server rescue': 'server_rescue:ServerRescue',
    'server resume': 'server_power:ServerResume',
    'server show': 'server:ServerShow',
    'server show-xml': 'server_xml:ServerShowXml',
    'server snapshot': 'server_change:ServerSnapshot',
    'server start': 'server_power:ServerStart',
    'server stop': 'server_power:ServerStop',
    'server suspend': 'server_power:ServerSuspend',
    'server unpause': 'server_power:ServerUnpause',
    'server unrescue': 'server_rescue:ServerUnrescue',
    'service disable': 'service:ServiceDisable',
    'service enable': 'service:ServiceEnable',
    'service show': 'service:ServiceShow',
    'version': 'version:Version',
}


class CommandTable(commandmanager.CommandManager):
    """Finds the commands of :data:`COMMANDS`, and no others."""

    def __init__(self) -> None:
        super().__init__()
        for name, place in COMMANDS.items():
            self.commands[name] = importlib.metadata.EntryPoint(
                name=name, value=_MODULES + place, group='nova_libvirt.cli')

    def add_command(
            self, name: str, command_class: type[command.Command]) -> None:
        # cliff adds its own help and completion to any table.
        if name not in COMMANDS:
            super().add_command(name, command_class)


class Command(command.Command):
    """A command that prints text of its own."""

    def get_epilog(self) -> str:
        # That of cliff looks through every installed distribution.
        return ''


class Lister(lister.Lister):
    """A command that prints rows."""

    def get_epilog(self) -> str:
        return ''


class ShowOne(show.ShowOne):
    """A command that prints the fields of one thing."""

    def get_epilog(self) -> str:
        return ''


def arguments_of(command: command.Command) -> argparse.Namespace:
    """Return the global options of the command line."""
    return command.app.options
