# SPDX-License-Identifier: Apache-2.0

"""Where the service keeps its state when nobody has said where.

Root uses the option's default. Any other user cannot write there, so for
them it is ``$XDG_STATE_HOME/nova-libvirt``, by default
``~/.local/state/nova-libvirt``. The service and its command line agree on
the place because both ask here.
"""

from collections.abc import Mapping
import os

from oslo_config import cfg

from nova_libvirt_driver import conf as package_conf

FOLDER = 'nova-libvirt'


def user_state_path(environ: Mapping[str, str], home: str) -> str:
    """Return the folder for a user who is not root.

    A relative ``XDG_STATE_HOME`` is ignored, as its specification asks.
    """
    base = environ.get('XDG_STATE_HOME', '')
    if not os.path.isabs(base):
        base = os.path.join(home, '.local', 'state')
    return os.path.join(base, FOLDER)


def use_user_default(conf: cfg.ConfigOpts) -> None:
    """Make ``state_path`` fit a user who is not root; call after parsing.

    Does nothing for root, nor when the option is set anywhere.
    """
    if os.geteuid() == 0 or package_conf.is_set(conf, 'state_path'):
        return
    conf.set_default('state_path', user_state_path(
        os.environ, os.path.expanduser('~')))
