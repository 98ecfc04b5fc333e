# SPDX-License-Identifier: Apache-2.0

"""How nova-compute, whose user is not root, gets at more rights.

As on other hosts: by sudo and Nova's rootwrap, with the filters that Nova,
os-brick and this tree ship. But for the paths: nothing is in /etc here.
"""

import pathlib

from config import cloud as cloud_config

USER = 'nova'
_TREE = pathlib.Path(__file__).parents[3]
_OURS = 'etc/nova_libvirt_driver/rootwrap.d/nova-libvirt-driver.filters'
# os-vif ships none.
_OS_VIF = ('vif_plug_ovs', 'vif_plug_linux_bridge')


def write(cloud: cloud_config.Cloud) -> None:
    """Write the files of rootwrap and sudo."""
    folder = cloud.etc / 'nova'
    filters = folder / 'rootwrap.d'
    filters.mkdir(parents=True, exist_ok=True)
    programs = cloud.compute_venv / 'bin'
    cloud_config.write(folder / 'rootwrap.conf', {'DEFAULT': {
        'filters_path': filters,
        'exec_dirs': f'{programs},/usr/sbin,/usr/bin,/sbin,/bin',
        'use_syslog': False,
    }})
    shipped = cloud.compute_venv / 'etc'
    for path in (shipped / 'nova/rootwrap.d/compute.filters',
                 shipped / 'os-brick/rootwrap.d/os-brick.filters',
                 _TREE / _OURS):
        (filters / path.name).write_text(
            path.read_text().replace(' /etc/', f' {cloud.etc}/'))
    (filters / 'os-vif.filters').write_text(_os_vif(cloud))
    _write_sudoers(cloud, programs)


def _os_vif(cloud: cloud_config.Cloud) -> str:
    return '\n'.join(('[Filters]', *(
        f'{name}: RegExpFilter, privsep-helper, root, privsep-helper, '
        f'--config-file, {cloud.etc}/nova/[^/]+, --privsep_context, '
        f'{name}.privsep.vif_plug, --privsep_sock_path, /tmp/.*'
        for name in _OS_VIF), ''))


def _write_sudoers(cloud: cloud_config.Cloud, programs: pathlib.Path) -> None:
    path = cloud.etc / 'sudoers.d' / 'devcloud'
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f'Defaults:{USER} secure_path={programs}:/usr/sbin:/usr/bin\n'
        f'{USER} ALL = (root) NOPASSWD: {programs}/nova-rootwrap '
        f'{cloud.etc}/nova/rootwrap.conf *\n')
    path.chmod(0o440)
