# SPDX-License-Identifier: Apache-2.0

"""Options that say which hypervisor to use; names as Nova has them."""

from oslo_config import cfg

GROUP = 'libvirt'

OPTS = (
    cfg.StrOpt(
        'virt_type',
        default='kvm',
        choices=('kvm', 'lxc', 'qemu', 'parallels'),
        help="""
Kind of guests that this host runs.

It also chooses the URI to connect to, unless ``connection_uri`` does.
"""),
    cfg.StrOpt(
        'connection_uri',
        default='',
        help="""
URI of the libvirt connection.

Possible values: empty, for the default of ``virt_type``
(``qemu:///system`` for kvm and qemu); or any URI of libvirt, for example
``qemu:///session``, ``qemu:///embed?root=/srv/guests`` or
``test:///default``.

Related options: ``virt_type``.
"""),
)
