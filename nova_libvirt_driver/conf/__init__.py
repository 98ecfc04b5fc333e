# SPDX-License-Identifier: Apache-2.0

"""Options of this package, one module for each group.

A hosting service may have registered an option already, with another
definition; then that one is reused.
"""

from collections.abc import Iterable
from collections.abc import Mapping
import re
from typing import Any

from oslo_config import cfg

from nova_libvirt_driver.conf import compute
from nova_libvirt_driver.conf import driver
from nova_libvirt_driver.conf import image_cache
from nova_libvirt_driver.conf import libvirt
from nova_libvirt_driver.conf import serial_console
from nova_libvirt_driver import exception

Options = cfg.ConfigOpts | Mapping[str, Mapping[str, Any]]

GROUPS = (compute, libvirt, image_cache, serial_console, driver)


def register_opts(conf: cfg.ConfigOpts) -> None:
    """Register every option of this package that *conf* lacks."""
    for module in GROUPS:
        _register(conf, module.GROUP, module.OPTS)


def of(options: Options | None) -> cfg.ConfigOpts:
    """Return the options of one driver.

    :param options: those of a group by its name, or all as they are in
        files; None for those of the process
    :raises InvalidConfiguration: there is no such option, or a value makes
        no sense
    """
    if options is None:
        options = cfg.CONF
    if isinstance(options, cfg.ConfigOpts):
        register_opts(options)
        return options
    made = cfg.ConfigOpts()
    register_opts(made)
    # No file of the machine's, and no argument of the process's.
    made([], default_config_files=[], default_config_dirs=[])
    for group, values in options.items():
        for name, value in values.items():
            try:
                made.set_override(
                    name, value, None if group == 'DEFAULT' else group)
            except (cfg.NoSuchOptError, cfg.NoSuchGroupError,
                    ValueError) as error:
                raise exception.InvalidConfiguration(
                    reason=f'[{group}] {name}: {error}') from error
    return made


def _register(
        conf: cfg.ConfigOpts, group: str, opts: Iterable[cfg.Opt]) -> None:
    for opt in opts:
        try:
            # A group object named DEFAULT would be another group.
            conf.register_opt(
                opt, group=None if group == 'DEFAULT' else group)
        except cfg.DuplicateOptError:
            # The hosting service has its own definition of this name.
            continue


def check_values(conf: cfg.ConfigOpts) -> None:
    """Look at every value now, not when it is first needed.

    :raises InvalidConfiguration: a file has a value that its option does
        not allow
    """
    for module in GROUPS:
        group = conf if module.GROUP == 'DEFAULT' else conf[module.GROUP]
        for opt in module.OPTS:
            try:
                getattr(group, opt.dest)
            except ValueError as error:
                raise exception.InvalidConfiguration(
                    reason=f'[{module.GROUP}] {opt.name}{_why(error)}'
                ) from error


def _why(error: ValueError) -> str:
    # The text of oslo.config has its own objects in it, in the middle.
    before, found, reason = str(error).partition('is not valid: ')
    place = re.search("detail='([^']*)'", before)
    where = f' in {place[1]}' if place else ''
    return f'{where}: {reason if found else error}'


def use_embedded_default(
        conf: cfg.ConfigOpts, uri: str = 'test:///default') -> None:
    """Fall back on a hypervisor that needs no daemon.

    For the stand-alone front doors: without any word on which hypervisor
    to use, there is still one that works.

    :param uri: by default that of libvirt's test hypervisor, which works
        everywhere
    """
    if not any(is_set(conf, name, libvirt.GROUP)
               for name in ('connection_uri', 'virt_type')):
        conf.set_default('connection_uri', uri, group=libvirt.GROUP)


def is_set(
        conf: cfg.ConfigOpts, name: str, group: str | None = None) -> bool:
    """Say whether the option was given a value."""
    location = conf.get_location(name, group)
    return location is not None and location.location not in (
        cfg.Locations.opt_default, cfg.Locations.set_default)
