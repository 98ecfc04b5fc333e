# SPDX-License-Identifier: Apache-2.0

"""Consoles of a guest, and where to reach them."""

import dataclasses
import enum


class GraphicsKind(enum.StrEnum):
    """Protocol of a graphical console."""

    VNC = 'vnc'
    SPICE = 'spice'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SpiceSpec:
    """What only SPICE has; empty and None are QEMU's own default."""

    secure: bool = False
    """Nothing goes over the network in plain text; QEMU has to have TLS."""
    agent: bool = True
    """The guest may run an agent, which needs a channel."""
    image_compression: str = ''
    jpeg_compression: str = ''
    zlib_compression: str = ''
    playback_compression: bool | None = None
    streaming_mode: str = ''


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class GraphicsSpec:
    """One graphical console; libvirt chooses the port."""

    kind: GraphicsKind
    listen: str = '127.0.0.1'
    keymap: str = ''
    spice: SpiceSpec = SpiceSpec()
    """Of one of the kind SPICE."""


class SerialKind(enum.StrEnum):
    """What is at the host's end of a serial port."""

    PTY = 'pty'
    TCP = 'tcp'
    """A raw TCP server on a port that the driver chooses."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SerialSpec:
    """One serial port."""

    kind: SerialKind = SerialKind.PTY
    listen: str = '127.0.0.1'
    port: int | None = None
    """Port of a TCP server; None in a request, chosen at each start."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSpec:
    """All consoles of one guest; the first serial port is also logged."""

    serials: tuple[SerialSpec, ...] = (SerialSpec(),)
    graphics: tuple[GraphicsSpec, ...] = ()
    log: bool = True
    """Copy what the first serial port prints to a file."""


@dataclasses.dataclass(frozen=True, slots=True)
class ConsoleAddress:
    """Where a console answers now; never kept, asked again each time."""

    host: str
    port: int
    tls_port: int | None = None
