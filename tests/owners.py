# SPDX-License-Identifier: Apache-2.0

"""Owners of journals, for the tests."""

from nova_libvirt_driver.storage import journal as journal_module

HERE = journal_module.Owner('here', 'fake:///', '')
THERE = journal_module.Owner('there', 'fake:///', '')


def journal(
        instances_path: str, owner: journal_module.Owner = HERE,
) -> journal_module.Journal:
    """Return the journal as a host sees it."""
    return journal_module.Journal(
        instances_path, owner.host, lambda: (owner.uri, owner.host_uuid))
