# SPDX-License-Identifier: Apache-2.0

"""Command line and configuration files of the service, checked at once.

A value that an option does not allow is found here, before anything is
started, and not when somebody first reads the option.
"""

from collections.abc import Sequence
import dataclasses

from oslo_config import cfg
from oslo_log import log as logging

from nova_libvirt_driver.compute import config_files
from nova_libvirt_driver.compute import embedded
from nova_libvirt_driver.compute import logs
from nova_libvirt_driver.compute import paths
from nova_libvirt_driver import conf as package_conf
from nova_libvirt_driver.conf import compute as compute_conf
from nova_libvirt_driver import exception
from nova_libvirt_driver import version

PROJECT = 'nova-libvirt'
PROGRAM = 'nova-libvirt-compute'
DESCRIPTION = """
Compute service for the libvirt of one machine. Without configuration it runs
QEMU without any daemon, in the folder qemu of its state folder; without QEMU,
libvirt's in-process test hypervisor, test:///default. It ends on SIGTERM
and Ctrl-C, reads its configuration again on SIGHUP and writes a report of its
state on SIGUSR2.
"""
USAGE = '%(prog)s [--uri URI] [--once] [--demo] [--keep] [option ...]'
EPILOG = """
Configuration is read from nova-libvirt.conf and nova-libvirt-compute.conf, in
the first of ~/.nova-libvirt, ~, /etc/nova-libvirt and /etc that has the file,
and from the files in nova-libvirt.conf.d there, unless --config-file is given.
Exit status: 0 ended as asked; 1 bad configuration, or with --once a failure;
2 wrong use of the command line; 130 --once was interrupted; 141 the reader of
the output has gone.
"""

CLI_OPTS = (
    cfg.StrOpt(
        'uri', metavar='URI',
        help='URI of the hypervisor; overrides [libvirt] connection_uri.'),
    cfg.BoolOpt(
        'show', default=False,
        help='Show on standard output what the service is connected to, the '
        "host's resources, the guests, and then their events. Messages of "
        'the log are shown from warnings on.'),
    cfg.BoolOpt(
        'once', default=False,
        help='Like --show, but end after the guests have been shown.'),
    cfg.BoolOpt(
        'demo', default=False,
        help='Like --show; also make one tiny guest, show what it prints, '
        'make a snapshot of it, and remove it again. Unless [libvirt] '
        'virt_type says otherwise, guests are emulated then.'),
    cfg.BoolOpt(
        'keep', default=False,
        help='Like --demo, but leave the guest, and say how to delete it.'),
    cfg.BoolOpt(
        'verbose', short='v', default=False,
        help='With --show, --once, --demo or --keep: show informational '
        'messages of the log too.'),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Mode:
    """How the service is to behave towards what has started it."""

    show: bool
    once: bool
    demo: bool
    keep: bool = False


def parse(conf: cfg.ConfigOpts, argv: Sequence[str] | None) -> Mode:
    """Read everything into *conf* and set up the log.

    :raises InvalidConfiguration: a file or a value cannot be used
    :raises SystemExit: wrong use of the command line, or ``--help``
    """
    _register(conf)
    try:
        config_files.check_named(argv, project=PROJECT, program=PROGRAM)
        conf(argv, project=PROJECT, prog=PROGRAM, version=version.version(),
             description=DESCRIPTION, epilog=EPILOG, usage=USAGE)
        if conf.uri is not None:
            conf.set_override('connection_uri', conf.uri, group='libvirt')
        package_conf.check_values(conf)
    except (cfg.Error, OSError) as error:
        raise exception.InvalidConfiguration(
            reason=_one_line(error)) from error
    paths.use_user_default(conf)
    package_conf.use_embedded_default(
        conf, embedded.default_uri(conf.state_path))
    demo = conf.demo or conf.keep
    if demo:
        embedded.emulate(conf)
    mode = Mode(show=conf.show or conf.once or demo, once=conf.once,
                demo=demo, keep=conf.keep)
    logs.set_up(conf, brief=mode.show and not conf.verbose)
    embedded.prepare(conf)
    return mode


def _register(conf: cfg.ConfigOpts) -> None:
    logging.register_options(conf)
    logs.set_defaults()
    conf.register_cli_opts(CLI_OPTS)
    conf.register_cli_opt(_state_path())
    package_conf.register_opts(conf)


def _state_path() -> cfg.Opt:
    # The package's option with a name fit for the command line.
    known, = (opt for opt in compute_conf.OPTS if opt.dest == 'state_path')
    return cfg.StrOpt(
        'state-path', default=known.default, metavar='DIR',
        help=f'{known.help} For a user who is not root the default is '
        '$XDG_STATE_HOME/nova-libvirt, or ~/.local/state/nova-libvirt.')


def _one_line(error: Exception) -> str:
    return ' '.join(str(error).split())
