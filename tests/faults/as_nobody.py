# SPDX-License-Identifier: Apache-2.0

"""A driver in a process without rights, for the tests.

Run as ``python -m tests.faults.as_nobody URI`` by root. It prints how the
connection is, as a line of JSON, and again, once there is one.
"""

import json
import os
import pwd
import sys

from oslo_config import cfg

from nova_libvirt_driver import conf
from nova_libvirt_driver import driver as driver_module
from nova_libvirt_driver import exception
from nova_libvirt_driver.testing import fake_ports
from tests.faults import base


def main(uri: str) -> int:
    """Connect, also later, and say how that went."""
    conf.register_opts(cfg.CONF)
    cfg.CONF([], default_config_files=[])
    cfg.CONF.set_override('connection_uri', uri, group='libvirt')
    for name in ('reconnect_interval', 'reconnect_interval_max'):
        cfg.CONF.set_override(name, 1, group='nova_libvirt_driver')
    service_state = fake_ports.RecordingServiceState()
    driver = driver_module.LibvirtDriver(
        fake_ports.virt_api(service_state=service_state))
    # All modules are there; from now on this tree may be out of reach.
    nobody = pwd.getpwnam('nobody')
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
    driver.init_host('here')
    try:
        driver.list_instances()
        say(error='')
    except exception.HypervisorUnavailable as error:
        say(error=str(error), next_step=error.next_step,
            enabled=service_state.enabled)
    base.wait_until(lambda: service_state.enabled, 'a connection',
                    timeout_s=base.BACK_S)
    say(names=driver.list_instances())
    driver.cleanup_host('here')
    return 0


def say(**fields: object) -> None:
    """Print a line."""
    print(json.dumps(fields), flush=True)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
