# SPDX-License-Identifier: Apache-2.0

"""Errors of the system, as failures that say what could not be done."""

from collections.abc import Iterator
import contextlib

from nova_libvirt_driver import exception
from nova_libvirt_driver.filesystem import records


@contextlib.contextmanager
def naming(
        what: str, path: str, *,
        but_for: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Say what could not be done, where the system says only why.

    :param what: with the file that it was to be done with
    :param path: where an operator has to look
    :param but_for: what goes through as it is
    :raises StorageFailure: instead of an OSError, or of a file's content
        that makes no sense
    """
    try:
        yield
    except but_for:
        raise
    except (OSError, records.Unreadable) as error:
        raise exception.StorageFailure(
            reason=f'{what}: {getattr(error, "strerror", None) or error}',
            path=path) from error
