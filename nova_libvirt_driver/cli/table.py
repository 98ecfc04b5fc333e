# SPDX-License-Identifier: Apache-2.0

"""The table of commands.

A command's module is imported when the command is run or described, not
before: that keeps the start short.
"""

import importlib.metadata

from cliff import command
from cliff import commandmanager

_MODULES = 'nova_libvirt_driver.cli.commands.'

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
    'operations clean': 'operations:OperationsClean',
    'operations list': 'operations:OperationsList',
    'server console attach': 'server.console:ConsoleAttach',
    'server console log': 'server.console:ConsoleLog',
    'server console url': 'server.console:ConsoleUrl',
    'server create': 'server.create:ServerCreate',
    'server delete': 'server.change:ServerDelete',
    'server diff': 'server.domain:ServerDiff',
    'server list': 'server.listing:ServerList',
    'server pause': 'server.power:ServerPause',
    'server reboot': 'server.power:ServerReboot',
    'server rename': 'server.change:ServerRename',
    'server rescue': 'server.rescue:ServerRescue',
    'server resume': 'server.power:ServerResume',
    'server show': 'server.listing:ServerShow',
    'server show-xml': 'server.domain:ServerShowXml',
    'server snapshot': 'server.change:ServerSnapshot',
    'server start': 'server.power:ServerStart',
    'server stop': 'server.power:ServerStop',
    'server suspend': 'server.power:ServerSuspend',
    'server unpause': 'server.power:ServerUnpause',
    'server unrescue': 'server.rescue:ServerUnrescue',
    'service disable': 'service:ServiceDisable',
    'service enable': 'service:ServiceEnable',
    'service show': 'service:ServiceShow',
    'version': 'version:Version',
}


class CommandTable(commandmanager.CommandManager):
    """Finds the commands of :data:`COMMANDS`, and no others."""

    def __init__(self) -> None:
        # No namespace of entry points; cliff before 4.13 wants one named.
        super().__init__('')
        for name, place in COMMANDS.items():
            self.commands[name] = importlib.metadata.EntryPoint(
                name=name, value=_MODULES + place, group='nova_libvirt.cli')

    def add_command(
            self, name: str, command_class: type[command.Command]) -> None:
        # cliff adds its own help and completion to any table.
        if name not in COMMANDS:
            super().add_command(name, command_class)
