# SPDX-License-Identifier: Apache-2.0

"""From options to the values that monitoring needs."""

from oslo_config import cfg

from nova_libvirt_driver.spec import monitoring
from nova_libvirt_driver.spec import status_socket as socket_spec


def settings(conf: cfg.ConfigOpts) -> monitoring.Settings:
    """Return where this host's driver is to be asked how it is."""
    own = conf.nova_libvirt_driver
    return monitoring.Settings(
        host=conf.host, status_socket=status_socket(conf),
        metrics_listen=str(own.metrics_listen),
        metrics_port=own.metrics_port, guest_metrics=own.guest_metrics,
        service_down_grace_s=own.service_down_grace)


def status_socket(conf: cfg.ConfigOpts) -> str:
    """Return the path of the status socket, empty for none."""
    return socket_spec.named_by(
        str(conf.nova_libvirt_driver.status_socket or ''))
