# SPDX-License-Identifier: Apache-2.0

"""How an error of ours travels over RPC and becomes itself again.

It travels as texts, never as an object: the receiving side only ever makes
classes of this package's own tree, from names it knows.
"""

from collections.abc import Mapping

from nova_libvirt_driver import exception

MODULE = __name__


class WireError(Exception):
    """One of our errors on its way; oslo.messaging rebuilds it by args.

    :param kind: name of the class in ``exception``
    :param text: the whole message
    :param advice: the next step for an operator
    :param fields: values of the message's fields, plain JSON types
    """

    def __init__(
            self, kind: str, text: str, advice: str,
            fields: Mapping[str, object]) -> None:
        super().__init__(kind, text, advice, dict(fields))


def to_wire(error: exception.DriverError) -> WireError:
    """Return the error in the form in which it travels."""
    fields = {name: value if isinstance(value, (str, int, float)) else
              str(value) for name, value in error.fields.items()}
    return WireError(type(error).__name__, str(error), error.next_step,
                     fields)


def from_wire(error: WireError, host: str) -> exception.DriverError:
    """Return the error that was sent, or ``RemoteError`` for a stranger.

    :param host: who has sent it
    """
    kind, text, _, fields = error.args
    found = getattr(exception, str(kind), None)
    if isinstance(found, type) and issubclass(found, exception.DriverError):
        try:
            return found(**fields)
        except (KeyError, TypeError, ValueError):
            # Another version of the class, with other fields.
            pass
    return exception.RemoteError(host=host, reason=f'{kind}: {text}')
