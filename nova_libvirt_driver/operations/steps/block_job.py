# SPDX-License-Identifier: Apache-2.0

"""Following a job on a disk of a running guest."""

from collections.abc import Callable

from nova_libvirt_driver import exception
from nova_libvirt_driver.guest import block
from nova_libvirt_driver.guest import handle
from nova_libvirt_driver.operations.steps import exclusive as exclusive_module
from nova_libvirt_driver.spec import event

_STALL_S = 300.0
"""How long a job may take without any progress."""


def follow(
        guest: handle.Guest, disk: block.Disk, begin: Callable[[], object],
        has_settled: Callable[[block.BlockJob | None], bool],
        watched: exclusive_module.Watched) -> None:
    """Begin a job, and wait until it is where it has to be.

    :param has_settled: told of the job, None when there is none; may raise
    :raises WaitTimeout: it makes no progress
    """
    def tick() -> None:
        watched.advance(done, 0)
        watched.give_way()

    done = 0
    # When the guest goes down, its jobs end without an event of theirs.
    with guest.expecting(event.BlockJobEvent, event.LifecycleEvent) as news:
        begin()
        while not news.wait(
                lambda change: has_settled(disk.job()), _STALL_S, tick):
            job = disk.job()
            if job is None or job.done == done:
                raise exception.WaitTimeout(
                    awaited='progress of a job on a disk', timeout_s=_STALL_S)
            done = job.done
