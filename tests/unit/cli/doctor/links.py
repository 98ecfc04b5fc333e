# SPDX-License-Identifier: Apache-2.0

"""A connection for the checks of ``doctor``."""

from nova_libvirt_driver.cli.doctor import check_connection
from nova_libvirt_driver.spec import connection
from nova_libvirt_driver.spec import host
from nova_libvirt_driver.xmlmodel import capabilities as capabilities_model

_CAPABILITIES = """<capabilities>
<host><secmodel><model>{secmodel}</model><doi>0</doi></secmodel></host>
<guest><os_type>hvm</os_type><arch name='x86_64'>
<emulator>{emulator}</emulator><domain type='qemu'/>{kvm}
</arch></guest></capabilities>"""


def link(
        *, kind: str = 'QEMU', version: int = 7_002_000,
        uri: str = 'qemu:///system', secmodel: str = 'none',
        emulator: str = '/bin/sh', kvm: str = '', events: bool = True,
        keepalive: bool = True,
        capabilities: str = '') -> check_connection.Link:
    """Return a connection that works.

    :param capabilities: default is what the other parameters make of them
    """
    return check_connection.Link(
        host.HostFacts(
            hostname='h1', hypervisor_type=kind, hypervisor_version=version,
            libvirt_version=9_000_000, uri=uri, arch='x86_64', cpus=1,
            memory_mib=1024, cpu_model='', cpu_sockets=1, cpu_cores=1,
            cpu_threads=1),
        connection.ConnectionStatus(
            state=connection.ConnectionState.CONNECTED, uri=uri,
            read_only=True, generation=1, events=events, keepalive=keepalive,
            last_error='', queued_events=0, running_calls=0,
            abandoned_calls=0),
        capabilities_model.Capabilities.parse(
            capabilities or _CAPABILITIES.format(
                secmodel=secmodel, emulator=emulator, kvm=kvm)))
