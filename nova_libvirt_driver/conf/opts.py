# SPDX-License-Identifier: Apache-2.0

"""Entry point of the sample configuration's generator."""

from oslo_config import cfg

from nova_libvirt_driver import conf


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options of each group."""
    return [(module.GROUP, list(module.OPTS)) for module in conf.GROUPS]
