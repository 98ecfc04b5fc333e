# SPDX-License-Identifier: Apache-2.0

"""Reads the configuration for one run of the client.

Options of the command line win over files. Every value is looked at once,
so that a bad one is named before anything is tried with it.
"""

import argparse
from collections.abc import Iterator
import os

from oslo_config import cfg

from nova_libvirt_driver.cli import errors
from nova_libvirt_driver.compute import config_files
from nova_libvirt_driver.compute import embedded
from nova_libvirt_driver.compute import paths
from nova_libvirt_driver import conf as options
from nova_libvirt_driver.privileged import client as privileged

PROG = 'nova-libvirt'

_SERVICE = 'nova-libvirt-compute'
"""Its own file is read, too, so that both are of one mind."""

_MAX_CONNECT_S = 600.0


def load(
        arguments: argparse.Namespace,
        conf: cfg.ConfigOpts = cfg.CONF) -> cfg.ConfigOpts:
    """Return the configuration from the files and the command line.

    :param conf: what to fill; the driver reads the default only
    :raises UsageError: a file cannot be read, or an argument is no value
        for its option
    :raises InvalidConfiguration: a file has a value that cannot be used
    """
    _parse(arguments, conf)
    options.check_values(conf)
    paths.use_user_default(conf)
    options.use_embedded_default(
        conf, embedded.default_uri(conf.state_path))
    return conf


def unchecked(arguments: argparse.Namespace) -> cfg.ConfigOpts:
    """Return the same, without a look at each value.

    :raises UsageError: as above
    """
    _parse(arguments, cfg.CONF)
    paths.use_user_default(cfg.CONF)
    return cfg.CONF


def target(arguments: argparse.Namespace) -> str:
    """Return " on" and what a command talks to, as far as it is known."""
    if getattr(arguments, 'rpc', None):
        return f' on the compute service of {arguments.rpc}'
    uri = getattr(arguments, 'uri', None) or _configured_uri(cfg.CONF)
    return f' on {uri}' if uri else ''


def _parse(arguments: argparse.Namespace, conf: cfg.ConfigOpts) -> None:
    options.register_opts(conf)
    named = list(_file_arguments(arguments))
    try:
        config_files.check_named(named, project=PROG, program=_SERVICE)
        conf(args=named, project=PROG, prog=_SERVICE)
    except (cfg.Error, OSError, UnicodeDecodeError) as error:
        raise errors.UsageError(
            f'the configuration cannot be read: {_reason(error)}',
            'correct the file or its permissions, or name another with '
            '--config-file') from error
    privileged.use_sudo()
    _override(conf, arguments)


def _configured_uri(conf: cfg.ConfigOpts) -> str:
    try:
        return str(conf.libvirt.connection_uri)
    except cfg.Error:
        return ''


def _file_arguments(arguments: argparse.Namespace) -> Iterator[str]:
    for name in arguments.config_file:
        yield f'--config-file={name}'
    for name in arguments.config_dir:
        yield f'--config-dir={name}'


def _reason(error: Exception) -> str:
    if isinstance(error, cfg.ConfigFilesPermissionDeniedError):
        return f'no permission to read {_names(error)}'
    if isinstance(error, cfg.ConfigFilesNotFoundError):
        return f'no such file: {_names(error)}'
    if isinstance(error, OSError) and error.filename:
        return f'{error.filename}: {error.strerror}'
    return ' '.join(str(error).split())


def _names(error: cfg.ConfigFilesNotFoundError
           | cfg.ConfigFilesPermissionDeniedError) -> str:
    return ', '.join(error.config_files)


def _override(conf: cfg.ConfigOpts, arguments: argparse.Namespace) -> None:
    if arguments.uri is not None:
        conf.set_override('connection_uri', arguments.uri, group='libvirt')
    if arguments.state_path is not None:
        conf.set_override('state_path', os.path.abspath(
            os.path.expanduser(arguments.state_path)))
    if arguments.timeout is not None:
        # Waiting for events may take longer than connecting ever should.
        conf.set_override(
            'connect_timeout', min(arguments.timeout, _MAX_CONNECT_S),
            group='nova_libvirt_driver')
