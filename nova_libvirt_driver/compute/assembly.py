# SPDX-License-Identifier: Apache-2.0

"""Builds the service from the configuration, and launches it.

What a wrong configuration would break is created here, before anything is
started.
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import sys

from oslo_config import cfg

from nova_libvirt_driver import base
from nova_libvirt_driver.compute import audit
from nova_libvirt_driver.compute import configuration
from nova_libvirt_driver.compute import control
from nova_libvirt_driver.compute import demo_folder
from nova_libvirt_driver.compute import embedded
from nova_libvirt_driver.compute import instance_lock
from nova_libvirt_driver.compute import loading
from nova_libvirt_driver.compute import local_server
from nova_libvirt_driver.compute import paths
from nova_libvirt_driver.compute import record as record_module
from nova_libvirt_driver.compute import service as service_module
from nova_libvirt_driver.compute import show
from nova_libvirt_driver.compute import signal_report
from nova_libvirt_driver.compute import verbs
from nova_libvirt_driver.conf import monitoring
from nova_libvirt_driver import exception
from nova_libvirt_driver.images import local
from nova_libvirt_driver.messaging import notifier as notifier_module
from nova_libvirt_driver.messaging import transport
from nova_libvirt_driver.monitoring import monitor
from nova_libvirt_driver import ports

INTERRUPTED = 130


@contextlib.contextmanager
def assembled(
        conf: cfg.ConfigOpts,
        mode: configuration.Mode) -> Iterator[Callable[[], int]]:
    """Give a function that runs the service and returns an exit status.

    :raises InvalidConfiguration: something cannot work as configured
    """
    notifier = notifier_module.OsloNotifier(conf.host, conf)
    notifier.check()
    loading.driver_class(conf.compute_driver)
    watched = monitoring.settings(conf)
    monitor.check(watched)
    with _record(conf) as record:
        embedded.hold(conf.libvirt.connection_uri, conf.host)
        images = local.LocalImages(paths.images(conf))
        driver = loading.load(conf.compute_driver, ports.VirtAPI(
            notifier=notifier, service_state=record,
            images=images))
        service = service_module.ComputeService(
            conf.host, driver, record=record, notifier=notifier,
            audit=audit.PeriodicAudit(
                driver, conf.nova_libvirt_driver.audit_interval,
                tidying_interval_s=conf.image_cache.manager_interval),
            control=control.Control(), reload=conf.mutate_config_files,
            monitor=monitor.Monitor(driver, watched),
            tidy=lambda: _tidy(driver, images, conf),
            on_start=lambda starting: _take_over(conf, mode, starting))
        _add_servers(conf, service)
        yield lambda: _launch(conf, mode, service)


@contextlib.contextmanager
def _record(
        conf: cfg.ConfigOpts) -> Iterator[record_module.ServiceRecordFile]:
    record = record_module.ServiceRecordFile(conf.state_path, conf.host)
    lock = instance_lock.InstanceLock(conf.state_path, conf.host)
    try:
        record.make_folder()
        lock.acquire()
        record.prepare()
    except OSError as error:
        raise exception.StatePathUnusable(
            path=conf.state_path,
            reason=error.strerror or str(error)) from error
    try:
        yield record
    finally:
        lock.release()


def _add_servers(
        conf: cfg.ConfigOpts,
        service: service_module.ComputeService) -> None:
    endpoint = verbs.Endpoint(service.host, service.driver, service.status)
    service.servers['the local socket'] = local_server.LocalServer(
        paths.service_socket(conf), endpoint, service.listeners)
    if transport.is_set(conf):
        from nova_libvirt_driver.compute import rpc
        service.servers['RPC'] = rpc.RpcServer(
            conf, service.host, rpc.ComputeEndpoint(endpoint))


def _tidy(
        driver: base.ComputeDriver, images: local.LocalImages,
        conf: cfg.ConfigOpts) -> None:
    images.sweep()
    demo_folder.sweep(driver, conf.instances_path)


def _take_over(
        conf: cfg.ConfigOpts, mode: configuration.Mode,
        service: service_module.ComputeService) -> None:
    control.take_signals(service.control, on_terminal=mode.show)
    signal_report.install(conf, service.status)


def _launch(
        conf: cfg.ConfigOpts, mode: configuration.Mode,
        service: service_module.ComputeService) -> int:
    showing = show.Show(
        service, mode, sys.stdout, instances_path=conf.instances_path,
        client=lambda uri: paths.client(conf, sys.argv[0], uri))
    if mode.show:
        service.watch = service.control.put
        service.foreground = showing.run
    try:
        service.start()
        service.wait()
    finally:
        service.stop()
    return INTERRUPTED if mode.once and showing.interrupted else 0
