# SPDX-License-Identifier: Apache-2.0

"""A filter of system calls for programs that read what tenants have made.

It takes away what no such program needs and what has been the way out of
sandboxes: mounts and namespaces, tracing, keys, kernel modules, BPF,
io_uring, file handles, sockets. Calls of another architecture end the
program.
"""

import errno
import platform
import struct

# By the kernel's names; the numbers are its interface and never change.
_X86_64 = {
    'socket': 41, 'connect': 42, 'socketpair': 53, 'ptrace': 101,
    'pivot_root': 155, 'chroot': 161, 'acct': 163, 'mount': 165,
    'umount2': 166, 'swapon': 167, 'swapoff': 168, 'reboot': 169,
    'init_module': 175, 'delete_module': 176, 'quotactl': 179,
    'kexec_load': 246, 'add_key': 248, 'request_key': 249, 'keyctl': 250,
    'unshare': 272, 'perf_event_open': 298, 'open_by_handle_at': 304,
    'setns': 308, 'process_vm_readv': 310, 'process_vm_writev': 311,
    'finit_module': 313, 'kexec_file_load': 320, 'bpf': 321,
    'userfaultfd': 323}
_AARCH64 = {
    'umount2': 39, 'mount': 40, 'pivot_root': 41, 'chroot': 51,
    'quotactl': 60, 'acct': 89, 'unshare': 97, 'kexec_load': 104,
    'init_module': 105, 'delete_module': 106, 'ptrace': 117, 'reboot': 142,
    'socket': 198, 'socketpair': 199, 'connect': 203, 'add_key': 217,
    'request_key': 218, 'keyctl': 219, 'swapon': 224, 'swapoff': 225,
    'perf_event_open': 241, 'open_by_handle_at': 265, 'setns': 268,
    'process_vm_readv': 270, 'process_vm_writev': 271, 'finit_module': 273,
    'bpf': 280, 'userfaultfd': 282, 'kexec_file_load': 294}
# Newer calls have one number everywhere.
_EVERYWHERE = {
    'io_uring_setup': 425, 'io_uring_enter': 426, 'io_uring_register': 427,
    'open_tree': 428, 'move_mount': 429, 'fsopen': 430, 'fsconfig': 431,
    'fsmount': 432, 'fspick': 433, 'pidfd_getfd': 438,
    'mount_setattr': 442}
# The kernel's number of the architecture, and its calls.
_ARCHITECTURES = {
    'x86_64': (0xc000003e, _X86_64), 'aarch64': (0xc00000b7, _AARCH64)}

# Code, where to go if true and if false, value.
_STEP = struct.Struct('=HBBI')
_LOAD, _EQUAL, _GREATER_OR_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4
_ALLOW, _KILL = 0x7fff0000, 0x80000000
_REFUSE = 0x00050000 | errno.EPERM
# From here on x86_64 has the calls of x32.
_X32 = 0x40000000


def program() -> bytes:
    """Return the filter as bubblewrap takes it, for this architecture.

    Empty where the numbers of the calls are not known.
    """
    found = _ARCHITECTURES.get(platform.machine())
    if found is None:
        return b''
    architecture, calls = found
    numbers = sorted({*calls.values(), *_EVERYWHERE.values()})
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_GREATER_OR_EQUAL, len(numbers) + 1, 0, _X32)]
    # Each jumps behind those that follow it, and over what allows.
    steps += [(_EQUAL, len(numbers) - place, 0, number)
              for place, number in enumerate(numbers)]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return b''.join(_STEP.pack(*step) for step in steps)
