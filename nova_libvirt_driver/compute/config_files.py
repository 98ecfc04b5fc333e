# SPDX-License-Identifier: Apache-2.0

"""Configuration files, before oslo.config reads them.

It reads whatever a path names to its end: a pipe for ever, ``/dev/zero``
until the memory is full.
"""

import argparse
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import errno
import glob
import os
import sys

from oslo_config import cfg

from nova_libvirt_driver.filesystem import records

_MAX_BYTES = 16 << 20


def check_named(
        argv: Sequence[str] | None, *, project: str, program: str) -> None:
    """Look at the files that a command line, or its absence, names.

    :raises OSError: one is not a plain file, or is very large
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in ('--config-file', '--config-dir'):
        parser.add_argument(option, action='append', default=[])
    with contextlib.suppress(argparse.ArgumentError, SystemExit):
        named, _ = parser.parse_known_args(
            list(sys.argv[1:] if argv is None else argv))
        check(named.config_file or cfg.find_config_files(project, program),
              named.config_dir or cfg.find_config_dirs(project, program))


def check(files: Iterable[str], folders: Iterable[str]) -> None:
    """Look at files, and at those in folders.

    What is missing or a folder, or may not be read, is left to oslo.config,
    and so is /dev/null, which stands for no options at all.

    :raises OSError: see above
    """
    for path in (*files, *_inside(folders)):
        path = os.path.abspath(os.path.expanduser(path))
        if path == os.devnull or os.path.isdir(path):
            continue
        try:
            records.read(path, max_bytes=_MAX_BYTES, follow=True)
        except (FileNotFoundError, PermissionError):
            continue
        except records.Unreadable as error:
            raise OSError(
                errno.EINVAL, f'not a configuration file: {error}', path
            ) from error


def _inside(folders: Iterable[str]) -> Iterator[str]:
    for folder in folders:
        yield from sorted(glob.glob(os.path.join(
            glob.escape(os.path.expanduser(folder)), '*.conf')))
