# SPDX-License-Identifier: Apache-2.0

"""The options of ``server create``, in groups."""

import argparse

from nova_libvirt_driver.cli import arguments as kinds
from nova_libvirt_driver.cli.commands.server import nics
from nova_libvirt_driver.cli.commands.server import waiting
from nova_libvirt_driver.cli import errors

_WITH_SPEC = (
    'help', 'spec', 'image', 'user_data', 'files', 'keys', 'config_drive',
    'dry_run', 'show_xml', 'wait')
_NETWORK_HELP = (
    f'{nics.HELP}, none; may be repeated; without it, user on QEMU')


def add(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    """Add all of them to a parser, and return it."""
    parser.add_argument('name', metavar='NAME', help='name of the server')
    parser.add_argument(
        '--spec', metavar='FILE',
        help='YAML file that describes all of it, as "server show -f yaml" '
        'prints; with it only --image, what goes onto the config drive, and '
        'how it is built can be said')
    _add_size(parser.add_argument_group('image and size'))
    _add_content(parser.add_argument_group('what the server is given'))
    _add_hardware(parser.add_argument_group('hardware'))
    _add_boot(parser.add_argument_group('boot'))
    _add_way(parser.add_argument_group('how it is built'))
    return parser


def _add_size(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--image', metavar='IMAGE', help='name or id of an image')
    group.add_argument(
        '--flavor', metavar='FLAVOR',
        help='built-in size; small without any word on sizes')
    sizes = (
        ('--vcpus', 'NUMBER', kinds.positive, 'virtual CPUs'),
        ('--ram', 'MIB', kinds.positive, 'memory'),
        ('--disk', 'GIB', kinds.number,
         "size of the root disk; 0, the default, is the image's"),
        ('--ephemeral', 'GIB', kinds.number, 'size of a second, empty disk'),
        ('--swap', 'MIB', kinds.number, 'size of a disk for swap'))
    for option, unit, kind, text in sizes:
        group.add_argument(option, metavar=unit, type=kind, help=text)


def _add_content(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--user-data', metavar='FILE', default='',
        help='text for cloud-init')
    group.add_argument(
        '--file', dest='files', action='append', default=[],
        type=kinds.pair, metavar='PATH=LOCAL',
        help='put a local file into the server; may be repeated')
    group.add_argument(
        '--key', dest='keys', action='append', default=[], metavar='FILE',
        help='public key for SSH; may be repeated')
    group.add_argument(
        '--config-drive', action='store_true',
        help='make a config drive, even with nothing of the above')
    group.add_argument(
        '--network', '--port', dest='networks', action='append', default=[],
        metavar='NETWORK', help=_NETWORK_HELP)
    group.add_argument(
        '--forward', dest='forwards', action='append', default=[],
        type=nics.forward, metavar='[ADDRESS:]HOST_PORT:GUEST_PORT[/udp]',
        help='let a port of this host lead into a server on the network '
        'user; of 127.0.0.1 by default; may be repeated')
    group.add_argument(
        '--volume', dest='volumes', action='append', default=[],
        metavar='VOLUME', help='give it a volume; may be repeated')
    group.add_argument(
        '--boot-volume', metavar='VOLUME', default='',
        help='volume that is its root disk, instead of an image')


def _add_hardware(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--firmware', choices=('bios', 'uefi'), help='kind of firmware')
    group.add_argument(
        '--secure-boot', action='store_true',
        help='start signed software only; takes UEFI')
    group.add_argument(
        '--machine', metavar='TYPE', help='machine type, such as q35')
    group.add_argument(
        '--disk-bus', choices=('virtio', 'scsi', 'sata', 'ide', 'usb'),
        help='how the disks are attached')
    group.add_argument(
        '--graphics', choices=('vnc', 'spice', 'none'), default='none',
        help='graphical console; none by default')
    group.add_argument(
        '--serial', choices=('pty', 'tcp'), default='pty',
        help="the host's end of the serial console; pty by default")
    group.add_argument(
        '--agent', action='store_true',
        help='give it a channel for the QEMU guest agent')
    group.add_argument(
        '--tpm', nargs='?', const='2.0', choices=('1.2', '2.0'),
        help='give it an emulated TPM, of version 2.0 by default')
    group.add_argument(
        '--os-type', choices=('linux', 'windows'),
        help='family of its operating system')
    group.add_argument(
        '--property', dest='properties', action='append', default=[],
        type=kinds.pair, metavar='NAME=VALUE',
        help="instead of the image's property of that name, for example "
             'hw_video_model=virtio; may be repeated')


def _add_boot(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--boot-from', choices=('image', 'cdrom'),
        help='what the image is: a disk, or a CD, as an ISO is by default')
    group.add_argument(
        '--kernel', metavar='FILE', default='',
        help='start this kernel, a local file or an image')
    group.add_argument(
        '--initrd', metavar='FILE', default='',
        help='initial ramdisk for the kernel')
    group.add_argument(
        '--append', metavar='ARGUMENTS', help='arguments for the kernel')


def _add_way(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        '--dry-run', action='store_true',
        help='make nothing, and show what would be made')
    group.add_argument(
        '--show-xml', action='store_true',
        help='with --dry-run, print the XML of the domain, and only that')
    group.add_argument(
        '--autostart', action='store_true',
        help='let the compute service start it after a boot of the host')
    group.add_argument(
        '--wait', nargs='?', const=waiting.ACTIVE, type=_condition,
        metavar='active|serial:REGEX',
        help='return when the server runs, or has printed what the regular '
             f'expression matches; for {waiting.TIMEOUT_S:g} s or --timeout '
             'at most')


def refuse_with_spec(parsed_args: argparse.Namespace) -> None:
    """Refuse what the file of --spec says.

    :raises UsageError: it is said in both
    """
    parser = add(argparse.ArgumentParser())
    said = [action.option_strings[0] for action in parser._actions
            if action.option_strings and action.dest not in _WITH_SPEC
            and getattr(parsed_args, action.dest, None) not in (
                action.default, None)]
    if said:
        raise errors.UsageError(
            f'--spec and {", ".join(said)} are given',
            'say it in the file')


def _condition(text: str) -> waiting.Condition:
    try:
        return waiting.condition(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
