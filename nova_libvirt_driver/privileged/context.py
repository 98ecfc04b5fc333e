# SPDX-License-Identifier: Apache-2.0

"""The one context of oslo.privsep, and the capabilities it keeps.

Imported only by a process that needs the rights: oslo.privsep loads eventlet
wherever that is installed.
"""

from collections.abc import Iterator
import os
import shlex
import sys
import warnings

from oslo_config import cfg

with warnings.catch_warnings():
    # Of eventlet, which is loaded even where nothing uses it.
    warnings.simplefilter('ignore')
    from oslo_privsep import capabilities
    from oslo_privsep import priv_context

GROUP = 'nova_libvirt_driver_privileged'

CAPABILITIES = (
    # To let the service's group read a file, or give the file back to it.
    capabilities.CAP_CHOWN,
    # To get into the folders of the service, and to read what only QEMU's
    # user or root may read.
    capabilities.CAP_DAC_READ_SEARCH,
)

_TIMEOUT_S = 60.0

CONTEXT = priv_context.PrivContext(
    'nova_libvirt_driver.privileged',
    cfg_section=GROUP,
    pypath=f'{__name__}.CONTEXT',
    capabilities=CAPABILITIES,
    logger_name='nova_libvirt_driver.privileged',
    timeout=_TIMEOUT_S)


def use_sudo() -> None:
    """Start the process by sudo, unless the configuration has a command.

    The helper is that of this installation, which need not be on the path
    that sudo searches, and sudo asks for no password.
    """
    helper = os.path.join(os.path.dirname(sys.executable), 'privsep-helper')
    cfg.CONF.set_default(
        'helper_command',
        shlex.join(['sudo', '-n', helper, *_configuration()]), group=GROUP)


def fork() -> None:
    """Fork the process off this one, and give up its capabilities here.

    Only while this process has one thread.

    :raises daemon.FailedToDropPrivileges: it does not answer
    """
    CONTEXT.start(priv_context.Method.FORK)
    # The ambient set cannot be larger than these.
    capabilities.drop_all_caps_except([], [], [])


def _configuration() -> Iterator[str]:
    for option, paths in (('--config-file', cfg.CONF.config_file),
                          ('--config-dir', cfg.CONF.config_dir)):
        for path in paths or ():
            yield option
            yield str(path)
