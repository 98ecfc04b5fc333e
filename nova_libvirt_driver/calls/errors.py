# SPDX-License-Identifier: Apache-2.0

"""The one place where an error of libvirt becomes one of ours."""

import errno
import re

import libvirt

from nova_libvirt_driver.calls import explanations
from nova_libvirt_driver import exception

_BROKEN_CODES = (libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR)
_LINK_DOMAINS = (libvirt.VIR_FROM_REMOTE, libvirt.VIR_FROM_RPC)

# A connection that stands connects no more: that is what the daemon, or the
# hypervisor in this process, says of a helper such as virtlogd.
_OF_A_HELPER = re.compile(
    'Failed to connect socket|nable to connect (to server|socket)'
    '|(binary|command) .*(not exist|not found)|Failed to (find|start) '
    '|failed to connect to |virt(log|lock)d')

_REFUSED = (
    libvirt.VIR_ERR_OPERATION_DENIED,
    libvirt.VIR_ERR_ACCESS_DENIED,
    libvirt.VIR_ERR_AUTH_FAILED,
    libvirt.VIR_ERR_AUTH_UNAVAILABLE,
    libvirt.VIR_ERR_AUTH_CANCELLED,
)

_UNSUPPORTED = (
    libvirt.VIR_ERR_NO_SUPPORT,
    libvirt.VIR_ERR_OPERATION_UNSUPPORTED,
    libvirt.VIR_ERR_CONFIG_UNSUPPORTED,
    libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED,
)

_AGENT = (
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    libvirt.VIR_ERR_AGENT_UNSYNCED,
)

_EXISTS = (
    libvirt.VIR_ERR_DOM_EXIST,
    libvirt.VIR_ERR_OPERATION_FAILED,
    libvirt.VIR_ERR_OPERATION_INVALID,
)

_EMBEDDED_HINT = 'see log/libvirt.log below the root of the URI'


def text(error: libvirt.libvirtError) -> str:
    """Return libvirt's own words, without a trailing newline."""
    return (error.get_error_message() or str(error)).strip()


def is_broken_link(error: libvirt.libvirtError) -> bool:
    """Say whether the error means that the connection itself is gone.

    For calls on a connection, not for its opening. An error of a helper
    daemon has the same numbers (seen with libvirt 9.0 and virtlogd).
    """
    return (error.get_error_code() in _BROKEN_CODES
            and error.get_error_domain() in _LINK_DOMAINS
            and not _OF_A_HELPER.search(text(error)))


def is_unsupported(error: libvirt.libvirtError) -> bool:
    """Say whether the connection's driver lacks the function."""
    return bool(error.get_error_code() == libvirt.VIR_ERR_NO_SUPPORT)


def is_failure(error: libvirt.libvirtError) -> bool:
    """Say whether a function failed that the connection's driver has."""
    return (error.get_error_code() is not None
            and not is_unsupported(error))


def is_not_found(error: libvirt.libvirtError) -> bool:
    """Say whether there is no such domain."""
    return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)


def is_secret_missing(error: libvirt.libvirtError) -> bool:
    """Say whether there is no such secret."""
    return bool(error.get_error_code() == libvirt.VIR_ERR_NO_SECRET)


def is_flag_unknown(error: libvirt.libvirtError) -> bool:
    """Say whether the connection's driver does not know a flag."""
    return (error.get_error_code() == libvirt.VIR_ERR_INVALID_ARG
            and 'unsupported flags' in text(error)) or is_unsupported(error)


def is_name_taken(error: libvirt.libvirtError) -> bool:
    """Say whether another domain has the name or the uuid already."""
    return error.get_error_code() in _EXISTS and any(
        words in text(error)
        for words in ('already exists', 'already defined'))


def is_agent_unavailable(error: libvirt.libvirtError) -> bool:
    """Say whether the guest agent is not there, or does not answer."""
    code = error.get_error_code()
    return code in _AGENT or (
        code == libvirt.VIR_ERR_ARGUMENT_UNSUPPORTED
        and 'guest agent' in text(error))


def is_agent_refusal(error: libvirt.libvirtError) -> bool:
    """Say whether the guest agent answered with an error of its own."""
    return (error.get_error_code() == libvirt.VIR_ERR_INTERNAL_ERROR
            and 'agent command' in text(error))


def is_busy(error: libvirt.libvirtError) -> bool:
    """Say whether QEMU was killed and has not gone yet.

    Libvirt gives it 15 seconds; one that waits for a dead disk or network
    file system takes longer.
    """
    return (error.get_error_code() == libvirt.VIR_ERR_SYSTEM_ERROR
            and not is_broken_link(error)
            and error.get_int1() == errno.EBUSY)


def is_unplug_pending(error: libvirt.libvirtError) -> bool:
    """Say whether QEMU refused because the guest was asked before.

    QEMU has told so since 6.0, and forgets its own question after some
    seconds.
    """
    return 'already in the process of unplug' in text(error)


def translate(
        error: libvirt.libvirtError, *, host: str, tried: str,
        instance: str = '') -> exception.DriverError:
    """Return our error for one of libvirt's.

    :param tried: what was asked of libvirt, as in "list the guests"
    :param instance: uuid or name of the guest it was about, if any
    """
    reason = text(error)
    code = error.get_error_code()
    if is_broken_link(error) or code == libvirt.VIR_ERR_INVALID_CONN:
        return exception.HypervisorUnavailable(host=host, reason=reason)
    if is_not_found(error) and instance:
        return exception.InstanceNotFound(instance=instance, host=host)
    if code == libvirt.VIR_ERR_OPERATION_TIMEOUT and instance:
        return exception.GuestBusy(
            tried=tried, instance=instance, reason=reason)
    if code in _REFUSED:
        return exception.OperationRefused(tried=tried, reason=reason)
    if instance and is_agent_unavailable(error):
        return exception.AgentUnavailable(instance=instance, reason=reason)
    if instance and is_agent_refusal(error):
        # Its words are the tenant's.
        return exception.AgentUnavailable(
            instance=instance, reason=f'it refused to {tried}')
    if code in _UNSUPPORTED:
        return exception.UnsupportedOperation(tried=tried, reason=reason)
    explained = explanations.find(code, reason, error.get_error_domain())
    hint = {} if explained is None else {
        'hint': f'likely {explained.cause}; {explained.next_step}'}
    return exception.LibvirtFailure(
        tried=tried, reason=reason, code=code if code is not None else -1,
        domain=error.get_error_domain() or 0, **hint)


def cannot_open(
        error: Exception, *, host: str, uri: str,
        refusal: str = '') -> exception.HypervisorUnavailable:
    """Return our error for a connection that could not be opened.

    :param refusal: why our own credentials callback said no, or empty
    """
    reason = (text(error) if isinstance(error, libvirt.libvirtError)
              else str(error))
    if refusal:
        reason = f'{reason} ({refusal})'
    return exception.HypervisorUnavailable(
        host=host, uri=uri, reason=f'cannot open {uri}: {reason}',
        hint=_advice(reason, uri))


def _advice(reason: str, uri: str) -> str:
    embedded = ':///embed' in uri
    return explanations.opening_advice(reason, embedded=embedded) or (
        _EMBEDDED_HINT if embedded
        else str(exception.HypervisorUnavailable.defaults['hint']))
