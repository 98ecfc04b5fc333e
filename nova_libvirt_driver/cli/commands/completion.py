# SPDX-License-Identifier: Apache-2.0

"""``nova-libvirt complete``: commands, options and names for a shell.

The scripts are thin: they ask this command what may follow. It reads the
table of commands and the records on the disk, and asks no libvirt, as it is
asked with every TAB.
"""

import argparse
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import os
from typing import cast
from typing import TYPE_CHECKING

from nova_libvirt_driver.cli.commands import base
from nova_libvirt_driver.cli import configuration
from nova_libvirt_driver.cli import sources
from nova_libvirt_driver.cli import table
from nova_libvirt_driver.filesystem import records
from nova_libvirt_driver.images import flavors

if TYPE_CHECKING:
    from nova_libvirt_driver.cli import app

_SCRIPTS = {
    'bash': """\
_nova_libvirt()
{
    local found=()
    mapfile -t found < <("${COMP_WORDS[0]}" complete --line -- \\
        "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
    COMPREPLY=()
    if (( ${#found[@]} )); then
        # The name of an image is not to be carried out.
        mapfile -t COMPREPLY < <(printf '%q\\n' "${found[@]}")
    fi
}
complete -o default -F _nova_libvirt nova-libvirt
""",
    'zsh': """\
#compdef nova-libvirt
_nova_libvirt()
{
    local -a found
    found=( ${(f)"$(${words[1]} complete --line -- \\
        "${(@)words[2,CURRENT]}" 2>/dev/null)"} )
    if (( ${#found} )); then
        compadd -a found
    else
        _files
    fi
}
compdef _nova_libvirt nova-libvirt
""",
    'fish': """\
function __nova_libvirt
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] complete --line -- $words[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c nova-libvirt -f -a '(__nova_libvirt)'
"""}

_MAX_RECORD_BYTES = 64 << 20


class Complete(base.Command):
    """Print a script with which a shell completes commands and names.

    bash: source <(nova-libvirt complete)
    zsh: source <(nova-libvirt complete --shell zsh), after compinit
    fish: nova-libvirt complete --shell fish | source

    Such a line in ~/.bashrc, ~/.zshrc or ~/.config/fish/config.fish does it
    for every new shell. No other package is needed.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--shell', choices=list(_SCRIPTS), default='bash',
            help='bash, zsh or fish; bash by default')
        parser.add_argument(
            '--line', action='store_true',
            help='for the scripts: print what the last word may become')
        parser.add_argument('words', nargs='*', help=argparse.SUPPRESS)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        if not parsed_args.line:
            self.app.stdout.write(_SCRIPTS[parsed_args.shell])
            return
        # Some shells take a sign of equality for a word.
        *before, current = [word for word in parsed_args.words
                            if word != '='] or ['']
        if parsed_args.words[-1:] == ['=']:
            before, current = [*before, current], ''
        found = {word for word in self._possible(before, current)
                 if word.startswith(current)}
        self.app.stdout.writelines(f'{word}\n' for word in sorted(found))

    def _possible(
            self, before: Sequence[str], current: str) -> Iterable[str]:
        client = cast('app.Client', self.app)
        # In addition to those before this command itself.
        client.options, words = client.parser.parse_known_args(
            list(before), client.options)
        if words[:1] == ['help']:
            words = words[1:]
        following = {
            name.split()[len(words)] for name in table.COMMANDS
            if name.split()[:len(words)] == words
            and len(name.split()) > len(words)}
        if following:
            return _options(client.parser) if current.startswith(
                '-') else following
        with contextlib.suppress(Exception):
            found = client.find(words)
            return self._arguments(
                found.name, found.parser, found.arguments, current)
        return ()

    def _arguments(
            self, command: str, parser: argparse.ArgumentParser,
            arguments: Sequence[str], current: str) -> Iterable[str]:
        options = {option: action for action in parser._actions
                   for option in action.option_strings}
        previous = options.get(arguments[-1]) if arguments else None
        if previous is not None and previous.nargs != 0:
            return self._values(command, previous)
        if current.startswith('-'):
            client = cast('app.Client', self.app)
            return {*options, *_options(client.parser)}
        positional = _positional(parser, options, arguments)
        return () if positional is None else self._values(
            command, positional)

    def _values(
            self, command: str, action: argparse.Action) -> Iterable[str]:
        """Return what an option or an argument can be."""
        if action.choices is not None:
            return map(str, action.choices)
        conf = configuration.unchecked(base.arguments_of(self))
        kind = action.dest.removesuffix('s')
        if kind == 'server':
            return _servers(conf.instances_path)
        if kind == 'image' and '--name' not in action.option_strings:
            return [image.name for image in sources.images(conf).list()]
        if kind in ('volume', 'boot_volume'):
            return [volume.name for volume in sources.volumes(conf).all()]
        if kind == 'flavor':
            return [flavor.name for flavor in flavors.builtin()]
        return ()


def _options(parser: argparse.ArgumentParser) -> set[str]:
    return {option for action in parser._actions
            for option in action.option_strings}


def _positional(
        parser: argparse.ArgumentParser,
        options: dict[str, argparse.Action],
        arguments: Sequence[str]) -> argparse.Action | None:
    """Return the argument that comes next, None when there are enough."""
    given, taken = 0, False
    for word in arguments:
        action = options.get(word)
        if not taken and not word.startswith('-'):
            given += 1
        taken = action is not None and action.nargs != 0
    wanted = [action for action in parser._actions
              if not action.option_strings]
    if given < len(wanted):
        return wanted[given]
    return wanted[-1] if wanted and wanted[-1].nargs in ('*', '+') else None


def _servers(instances_path: str) -> Iterator[str]:
    """Yield the names of the servers that were made by this command."""
    with contextlib.suppress(OSError), os.scandir(instances_path) as entries:
        for entry in entries:
            # A record that makes no sense is of no server that is meant.
            with contextlib.suppress(OSError, ValueError, KeyError,
                                     TypeError):
                record = records.load(
                    os.path.join(entry.path, 'guest.json'),
                    max_bytes=_MAX_RECORD_BYTES)
                yield str(record['guest']['metadata']['display_name'])
