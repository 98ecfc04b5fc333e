# SPDX-License-Identifier: Apache-2.0

"""All guests of a connection with their states, in one call."""

import libvirt

from nova_libvirt_driver.connection import decode
from nova_libvirt_driver.connection import errors
from nova_libvirt_driver.connection import protocol


def reports(connection: protocol.Connection) -> list[decode.Report]:
    """Return how each guest is.

    One call that never enters a guest's monitor; a hypervisor without bulk
    statistics is asked guest by guest.

    :raises libvirt.libvirtError: as it comes
    """
    return [report for _, report in domains(connection)]


def domains(
        connection: protocol.Connection
) -> list[tuple[protocol.Domain, decode.Report]]:
    """Return every domain and how it is; otherwise like :func:`reports`."""
    try:
        records = connection.getAllDomainStats(
            libvirt.VIR_DOMAIN_STATS_STATE, 0)
    except libvirt.libvirtError as error:
        if not errors.is_unsupported(error):
            raise
        return _one_by_one(connection)
    return [
        (domain, decode.report(domain, record.get('state.state', 0),
                               record.get('state.reason', 0)))
        for domain, record in records]


def _one_by_one(
        connection: protocol.Connection
) -> list[tuple[protocol.Domain, decode.Report]]:
    found = []
    for domain in connection.listAllDomains(0):
        try:
            state, reason = domain.state(0)[:2]
        except libvirt.libvirtError as error:
            if errors.is_not_found(error):
                # It went away since the list was made.
                continue
            raise
        found.append((domain, decode.report(domain, state, reason)))
    return found
