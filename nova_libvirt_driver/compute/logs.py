# SPDX-License-Identifier: Apache-2.0

"""Sets up the log of the service, and keeps libraries' chatter out of it."""

import logging as std_logging
import warnings

from oslo_config import cfg
from oslo_log import log as logging

from nova_libvirt_driver import exception

PRODUCT = 'nova-libvirt-compute'

LEVELS = (
    'amqp=WARNING', 'kombu=WARNING', 'stevedore=ERROR',
    'oslo.messaging=INFO', 'oslo_messaging=INFO',
    'oslo_concurrency=INFO', 'fasteners=WARNING',
)

CHATTERER = 'oslo_service.backend'
CHATTER = ('Loading backend', "Backend 'threading' successfully")
"""Beginnings of messages that tell an operator nothing."""

SHOWN_ANYWAY = ('oslo.messaging.notification',
                'nova_libvirt_driver.connection',
                'nova_libvirt_driver.compute.audit',
                'nova_libvirt_driver.compute.record')
"""Loggers whose messages a person watching the service sees anyway."""


class _Brief(std_logging.Formatter):
    """One plain line, for a terminal."""

    def format(self, record: std_logging.LogRecord) -> str:
        return f'{record.levelname.capitalize()}: {record.getMessage()}'


def set_defaults() -> None:
    """Set defaults of the log's options; before the configuration is read."""
    logging.set_defaults(default_log_levels=list(LEVELS))


def set_up(conf: cfg.ConfigOpts, *, brief: bool) -> None:
    """Start logging as configured.

    :param brief: for a person who watches the service: warnings only, one
        line each, on stderr; unless ``debug`` is set
    :raises InvalidConfiguration: it cannot be written where it should
    """
    if not (conf.log_file or conf.log_dir or conf.use_journal):
        # Standard output is for what was asked for.
        conf.set_default('use_stderr', True)
    try:
        logging.setup(conf, PRODUCT)
    except (logging.LogConfigError, OSError) as error:
        raise exception.InvalidConfiguration(
            reason=f'the log cannot be set up: {error}') from error
    if conf.debug:
        return
    # What libraries say of their own future is not for operators.
    warnings.simplefilter('ignore')
    std_logging.getLogger(CHATTERER).addFilter(_is_news)
    if brief:
        _make_brief()


def _make_brief() -> None:
    for handler in std_logging.getLogger().handlers:
        if type(handler) is std_logging.StreamHandler:
            handler.setLevel(std_logging.WARNING)
            handler.setFormatter(_Brief())
            handler.addFilter(_is_not_shown)


def _is_news(entry: std_logging.LogRecord) -> bool:
    return not str(entry.msg).startswith(CHATTER)


def _is_not_shown(entry: std_logging.LogRecord) -> bool:
    return not entry.name.startswith(SHOWN_ANYWAY)
