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
    'cache clean': 'cache:CacheClean',
    'cache show': 'cache:CacheShow',
    'complete': 'completion:Complete',
    'doctor': 'doctor:Doctor',
    'events': 'events:Events',
    'explain': 'explain:Explain',
    'flavor list': 'flavor:FlavorList',
    'gc': 'gc:Gc',
    'health': 'health:Health',
    'help': 'help:Help',
    'host show': 'host:HostShow',
    'image add': 'image:ImageAdd',
    'image delete': 'image:ImageDelete',
    'image download': 'image:ImageDownload',
    'image list': 'image:ImageList',
    'network list': 'network:NetworkList',
    'nova check': 'nova:NovaCheck',
    'operations clean': 'operations:OperationsClean',
    'operations list': 'operations:OperationsList',
    'port attach': 'port:PortAttach',
    'port detach': 'port:PortDetach',
    'port list': 'port:PortList',
    'server console attach': 'server.console:ConsoleAttach',
    'server console log': 'server.console:ConsoleLog',
    'server console url': 'server.console:ConsoleUrl',
    'server crash-dump': 'server.inside:ServerCrashDump',
    'server create': 'server.create:ServerCreate',
    'server delete': 'server.change:ServerDelete',
    'server diagnostics': 'server.inside:ServerDiagnostics',
    'server diff': 'server.domain:ServerDiff',
    'server exec': 'server.ssh:ServerExec',
    'server list': 'server.listing:ServerList',
    'server migrate': 'server.migrate:ServerMigrate',
    'server pause': 'server.power:ServerPause',
    'server reboot': 'server.power:ServerReboot',
    'server rename': 'server.change:ServerRename',
    'server rescue': 'server.rescue:ServerRescue',
    'server resize-disk': 'server.change:ServerResizeDisk',
    'server resume': 'server.power:ServerResume',
    'server set': 'server.change:ServerSet',
    'server set-password': 'server.inside:ServerSetPassword',
    'server show': 'server.listing:ServerShow',
    'server show-xml': 'server.domain:ServerShowXml',
    'server snapshot': 'server.change:ServerSnapshot',
    'server ssh': 'server.ssh:ServerSsh',
    'server start': 'server.power:ServerStart',
    'server stop': 'server.power:ServerStop',
    'server suspend': 'server.power:ServerSuspend',
    'server unpause': 'server.power:ServerUnpause',
    'server unrescue': 'server.rescue:ServerUnrescue',
    'service disable': 'service:ServiceDisable',
    'service enable': 'service:ServiceEnable',
    'service show': 'service:ServiceShow',
    'version': 'version:Version',
    'volume attach': 'volume:VolumeAttach',
    'volume create': 'volume:VolumeCreate',
    'volume delete': 'volume:VolumeDelete',
    'volume detach': 'volume:VolumeDetach',
    'volume extend': 'volume:VolumeExtend',
    'volume list': 'volume:VolumeList',
    'volume show': 'volume:VolumeShow',
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
