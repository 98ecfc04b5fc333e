# SPDX-License-Identifier: Apache-2.0

"""Where the service keeps its state when it is not told where.

Root uses the option's default. Any other user cannot write there, so for
them it is ``$XDG_STATE_HOME/nova-libvirt``, by default
``~/.local/state/nova-libvirt``. The service and its command line agree on
the place because both ask here.
"""

from collections.abc import Mapping
import os
import shlex
import urllib.parse

from oslo_config import cfg

from nova_libvirt_driver import conf as package_conf


def use_user_default(conf: cfg.ConfigOpts) -> None:
    """Make ``state_path`` fit a user who is not root; call after parsing.

    Does nothing for root, nor when the option is set anywhere.
    """
    if os.geteuid() == 0 or package_conf.is_set(conf, 'state_path'):
        return
    conf.set_default('state_path', of_user(
        os.environ, os.path.expanduser('~')))


def of_user(environ: Mapping[str, str], home: str) -> str:
    """Return where a user who is not root keeps the state of the service.

    A relative ``XDG_STATE_HOME`` is ignored, as its specification asks.
    """
    base = environ.get('XDG_STATE_HOME', '')
    if not os.path.isabs(base):
        base = os.path.join(home, '.local', 'state')
    return os.path.join(base, 'nova-libvirt')


def images(conf: cfg.ConfigOpts) -> str:
    """Return the folder with the images of this host."""
    return os.path.join(conf.state_path, 'images')


def service_socket(conf: cfg.ConfigOpts) -> str:
    """Return where the service of this state folder serves commands."""
    host = urllib.parse.quote(conf.host, safe='')
    return os.path.join(conf.state_path, f'service-{host}.sock')


def client(conf: cfg.ConfigOpts, program: str, uri: str) -> str:
    """Return a shell's command line of a client that sees the same guests.

    :param program: path that this program was started by
    """
    words = [_sibling(program, 'nova-libvirt')]
    for option in ('config_file', 'config_dir'):
        if package_conf.is_set(conf, option):
            for path in conf[option]:
                words += [f'--{option.replace("_", "-")}', path]
    location = conf.get_location('state_path')
    if location and location.location is cfg.Locations.command_line:
        words += ['--state-path', conf.state_path]
    return shlex.join([*words, '--uri', uri])


def _sibling(program: str, name: str) -> str:
    path = os.path.join(os.path.dirname(program), name)
    return path if os.path.isfile(path) else name
