# SPDX-License-Identifier: Apache-2.0

"""Options of this driver's own."""

from oslo_config import cfg
from oslo_config import types

from nova_libvirt_driver.spec import policy
from nova_libvirt_driver.spec import status_socket

GROUP = 'nova_libvirt_driver'

OPTS = (
    cfg.IntOpt(
        'keepalive_interval',
        default=5, min=1, max=3600,
        help="""
Seconds of silence after which libvirt is asked whether it is there.

A daemon that hangs is found after ``keepalive_interval`` times
(``keepalive_count`` + 1) seconds at most.
"""),
    cfg.IntOpt(
        'keepalive_count',
        default=5, min=1, max=100,
        help="""
Unanswered keepalive messages after which a connection counts as lost.
"""),
    cfg.FloatOpt(
        'connect_timeout',
        default=10, min=0.1, max=600,
        help="""
Seconds that opening a connection to libvirt may take.

A stopped daemon would make it wait for ever otherwise.
"""),
    cfg.FloatOpt(
        'reconnect_interval',
        default=0.5, min=0.05, max=600,
        help="""
Seconds before the second attempt to get a lost connection back.

The first attempt follows at once. Each further wait is about twice as long
as the one before, up to ``reconnect_interval_max``.
"""),
    cfg.FloatOpt(
        'reconnect_interval_max',
        default=10, min=0.05, max=3600,
        help="""
Longest time in seconds between two attempts to reconnect.
"""),
    cfg.FloatOpt(
        'service_down_grace',
        default=5, min=0, max=3600,
        help="""
Seconds after the loss of a connection before the service is disabled.

A daemon that is restarted is back before that, and the scheduler hears nothing
of it. When there has been no connection yet the service is disabled at once.
"""),
    cfg.IntOpt(
        'native_threads',
        default=64, min=4, max=4096,
        help="""
Calls into libvirt that may run in threads of their own at the same time.

Further ones wait for a thread. A call that libvirt never answers keeps its
own: when this many hang, further ones are refused with an error that says
so. In a process that runs on eventlet the limit is half of eventlet's thread
pool (EVENTLET_THREADPOOL_SIZE) if that is less.
"""),
    cfg.FloatOpt(
        'look_timeout',
        default=5, min=0.1, max=3600,
        help="""
Seconds that a call which only looks may take, and enters no guest.

When it takes longer, libvirt counts as unavailable for that call.
"""),
    cfg.FloatOpt(
        'stats_max_age',
        default=2, min=0, max=60,
        help="""
Seconds for which what libvirt said of all guests at once may be used again.

Power states of guests that are up come from events and are not meant. An
answer is shared by those who want figures, disk usage or the state of guests
that are down; 0 asks each time.
"""),
    cfg.FloatOpt(
        'call_timeout',
        default=60, min=1, max=3600,
        help="""
Seconds that a call which changes a guest, or asks it, may take.

A guest that takes longer counts as unresponsive until the call ends.
"""),
    cfg.FloatOpt(
        'job_timeout',
        default=3600, min=1, max=86400,
        help="""
Seconds that saving a guest's memory or copying its disk may take.
"""),
    cfg.IntOpt(
        'image_max_size',
        default=100, min=1,
        help="""
Largest disk of an image in GiB where no flavor names the size of the disk.

That is: images that are fetched ahead or to rescue an instance, and
instances whose flavor has a root disk of 0 GiB. A flavor with a root disk
decides by itself which image fits, whatever this option says.
"""),
    cfg.StrOpt(
        'image_tool_sandbox',
        default='preferred',
        choices=(
            ('required', 'Without a sandbox no image is read.'),
            ('preferred', 'Without a sandbox the programs run with limits '
             'only; a warning in the log and nova-libvirt doctor say so.'),
            ('off', 'There is no sandbox.')),
        help="""
Whether programs that read images and disks run in a sandbox.

In it there are no files but those the program works on, no network and no
rights of the service, so that a fault in qemu-img opens nothing to a tenant.
It needs bubblewrap and, for a service that does not run as root, unprivileged
user namespaces.
"""),
    cfg.IntOpt(
        'image_tool_memory',
        default=2048, min=64,
        help="""
Memory in MiB that a tool which works on disks may use.
"""),
    cfg.FloatOpt(
        'image_tool_timeout',
        default=3600, min=1,
        help="""
Seconds that a tool which works on disks may take.
"""),
    cfg.IntOpt(
        'image_tool_cpu',
        default=3600, min=1,
        help="""
Processor seconds that the conversion of a disk may take.
"""),
    cfg.IntOpt(
        'console_log_max_size',
        default=2, min=0, max=1024,
        help="""
Size in MiB above which the console log of an instance is rotated; 0 is for no
limit.

Three older logs are kept. The service looks every five seconds, so a log can
be longer by what its guest prints in that time. Logs that libvirt's log daemon
writes are left alone: see ``max_size`` in ``virtlogd.conf``. Related options:
``stdio_handler`` in ``qemu.conf``.
"""),
    cfg.ListOpt(
        'qemu_users',
        default=['libvirt-qemu', 'qemu'],
        help="""
Users as which QEMU may run on this host.

A service that is not root gets at the console logs and disks of guests
through a privileged process, which touches no file of any other user. See
``user`` in ``qemu.conf``; names that do not exist do no harm.
"""),
    cfg.BoolOpt(
        'ephemeral_volume_secrets',
        default=False,
        help="""
Keep passphrases of encrypted volumes in libvirt's memory only.

It is for volumes that QEMU decrypts. Otherwise libvirt writes a passphrase to
the disk of the host, in a file that only root can read, until the volume is
disconnected. With this, none is on the disk, and all are gone when libvirt's
daemon restarts or the host boots. From then on servers with such volumes start
only on a request of a user who may read the key: a start by the service, as
after a boot of the host or after an interrupted reboot, fails, and the server
stays stopped. A passphrase that is kept already stays as it is until the
volume is disconnected.
"""),
    cfg.ListOpt(
        'like_nova',
        default=[],
        item_type=types.String(choices=[
            one.value for one in policy.LikeNova]),
        help="""
What of guests is to be as Nova's own driver makes it, though this driver has
another way that it takes for better.

Guests on hosts of both drivers are the same then in this, too. Possible
values, in any number: ``cpu_models``, the first of ``[libvirt] cpu_models``
is taken, or what libvirt takes for it, whether the host has it or not;
``firmware_keys``, firmware without secure boot may have keys enrolled;
``hyperv_stimer``, Windows gets no timers of Hyper-V; ``multiqueue``, only with
KVM do interfaces have several queues; ``rng_limit``, random numbers are
limited only if the flavor sets a period; ``vhostuser``, interfaces behind a
socket have no MTU, and the guest needs huge pages for them.
"""),
    cfg.IntOpt(
        'audit_interval',
        default=60, min=1, max=86400,
        help="""
Seconds between two audits of the host by the stand-alone service.
"""),
    cfg.StrOpt(
        'status_socket',
        default=status_socket.PATH,
        help="""
Path of the Unix socket on which a running service says how it is.

``nova-libvirt health`` and ``nova-libvirt doctor`` ask there. The user and
the group of the service may connect. Empty, or ``off``, is for none.
"""),
    cfg.PortOpt(
        'metrics_port',
        default=0,
        help="""
TCP port on which Prometheus gets the metrics of a running service; 0 is for
none.

The path is ``/metrics``; ``/health`` on the same port says whether the
service can work. Needs the package prometheus-client: ``pip install
nova-libvirt-driver[metrics]``.
"""),
    cfg.IPOpt(
        'metrics_listen',
        default='127.0.0.1',
        help="""
Address on which ``metrics_port`` is served.

All who reach it can read the metrics: there is no password.
"""),
    cfg.BoolOpt(
        'guest_metrics',
        default=True,
        help="""
Whether there are figures of each guest among the metrics of ``metrics_port``.

Their labels have the uuid of the guest and the name of its domain. With very
many guests, Prometheus may have no room for them.
"""),
    cfg.StrOpt(
        'auth_username',
        default='',
        help="""
User name to give when libvirt asks for one (SASL).
"""),
    cfg.StrOpt(
        'auth_password',
        default='',
        secret=True,
        help="""
Password to give when libvirt asks for one (SASL).
"""),
    cfg.StrOpt(
        'auth_realm',
        default='',
        help="""
Realm to give when libvirt asks for one (SASL).
"""),
)
