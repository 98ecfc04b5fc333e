# SPDX-License-Identifier: Apache-2.0

"""Measures the verbs of one driver, for as long as that is wanted.

The object of the driver gets a measuring method in front of each verb of the
contract. A driver that is not measured has none of them.
"""

from collections.abc import Callable
import functools
import inspect
from typing import Any

from nova_libvirt_driver import base
from nova_libvirt_driver.calls import runtime
from nova_libvirt_driver import ports

_UNMEASURED = frozenset((
    # They begin and end the measuring, too.
    'init_host', 'cleanup_host',
    # They say nothing about libvirt.
    'emit_event', 'register_event_listener', 'get_host_ip_addr',
    'get_host_uptime',
    # What it returns is used later.
    'holding_tpm_secret',
))

NAMES = tuple(sorted(
    name for name, verb in vars(base.ComputeDriver).items()
    if inspect.isfunction(verb) and not name.startswith('_')
    and name not in _UNMEASURED))
"""The verbs that are measured."""


def measure(
        driver: base.ComputeDriver,
        observer: ports.Observer) -> Callable[[], None]:
    """Report each verb to *observer* from now on.

    :returns: ends that
    """
    own = vars(driver)
    before = {name: own[name] for name in NAMES if name in own}
    for name in NAMES:
        own[name] = _measured(name, getattr(driver, name), observer)

    def end() -> None:
        for name in NAMES:
            del own[name]
        own.update(before)

    return end


def _measured(
        name: str, verb: Callable[..., Any],
        observer: ports.Observer) -> Callable[..., Any]:
    @functools.wraps(verb)
    def call(*args: Any, **kwargs: Any) -> Any:
        return runtime.timed(
            observer.verb, name, lambda: verb(*args, **kwargs))

    return call
