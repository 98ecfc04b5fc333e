# SPDX-License-Identifier: Apache-2.0

"""What the exit codes of the client mean.

One table for the program and for its help text; which error has which code
is decided in :mod:`nova_libvirt_driver.cli.errors`.
"""

import enum


class ExitCode(enum.IntEnum):
    """Exit code of every command but ``doctor`` and ``health``."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    CONFLICT = 4
    UNREACHABLE = 5
    TIMED_OUT = 6
    INTERRUPTED = 130
    PIPE_CLOSED = 141


class DoctorCode(enum.IntEnum):
    """Exit code of ``doctor``, once its command line is understood."""

    OK = 0
    WARNINGS = 1
    FAILURES = 2
    INTERNAL_ERROR = 255


class HealthCode(enum.IntEnum):
    """Exit code of ``health``, once its command line is understood."""

    HEALTHY = 0
    DEGRADED = 1
    UNAVAILABLE = 2
    INTERNAL_ERROR = 255


OWN_CODES = ('doctor', 'health')
"""The commands whose codes are not those of the others."""

HELP = """\
exit codes:
  0    done
  1    failed
  2    wrong usage or configuration
  3    not found
  4    conflict, or the wrong state for it
  5    libvirt or the compute service cannot be reached
  6    timed out
  130  interrupted
  141  the reader of the output went away
  doctor: 0 all is well, 1 warnings, 2 failures, 255 internal error
  health: 0 healthy, 1 degraded, 2 unavailable, 255 internal error
  server diff: 0 no difference, 1 a difference; others as above
  server exec, server ssh: that of the command in the server, or as above
"""
