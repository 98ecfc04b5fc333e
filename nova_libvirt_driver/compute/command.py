# SPDX-License-Identifier: Apache-2.0

"""Entry point of ``nova-libvirt-compute``: from arguments to exit status."""

from collections.abc import Sequence
import os
import sys
import threading
import time
import traceback

from oslo_config import cfg

from nova_libvirt_driver.compute import configuration
from nova_libvirt_driver import exception
from nova_libvirt_driver.privileged import client as privileged

PROG = configuration.PROGRAM
FAILED = 1
INTERRUPTED = 130
PIPE_CLOSED = 141
EXIT_GRACE_S = 0.5


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service until it is asked to stop; return the exit status.

    :param argv: arguments, by default those of the process
    """
    try:
        status = _run(argv)
    except exception.DriverError as error:
        status = _fail(_error_text(error))
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has seen enough. The interpreter would
        # complain when it flushes once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = PIPE_CLOSED
    except Exception as error:
        status = _fail(_unexpected_text(error))
    _leave_when_stuck(status)
    return status


def _run(argv: Sequence[str] | None) -> int:
    conf = cfg.CONF
    mode = configuration.parse(conf, argv)
    privileged.use_sudo()
    # While there is one thread.
    privileged.separate()
    # Only now: a bad command line is reported at once, without loading much.
    from nova_libvirt_driver.compute import assembly
    with assembly.assembled(conf, mode) as launch:
        return launch()


def _error_text(error: exception.DriverError) -> str:
    lines = [f'Error: {error}']
    if isinstance(error, exception.InvalidConfiguration
                  | exception.LibvirtMissing):
        # Nothing was tried and nothing has changed: one line says it all.
        return f'{PROG}: {lines[0]}; {error.next_step}'
    lines.append('  Tried: show the host and its guests')
    lines.append('  State: the service has ended, nothing is left behind')
    lines.append(f'  Next:  {error.next_step}')
    return '\n'.join(lines)


def _unexpected_text(error: Exception) -> str:
    kind = type(error).__name__
    return (f'{PROG}: Error: unexpected {kind}: {error}; run it again with '
            '--debug to see where')


def _fail(text: str) -> int:
    if _debug():
        traceback.print_exc()
    print(text, file=sys.stderr, flush=True)
    return FAILED


def _debug() -> bool:
    try:
        return bool(cfg.CONF.debug)
    except cfg.Error:
        return False


def _leave_when_stuck(status: int) -> None:
    # The interpreter waits for threads that are not daemons. One that hangs
    # in a library must not keep the process.
    if not any(not thread.daemon for thread in threading.enumerate()
               if thread is not threading.main_thread()):
        return

    def leave() -> None:
        time.sleep(EXIT_GRACE_S)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)

    threading.Thread(target=leave, name='exit', daemon=True).start()
