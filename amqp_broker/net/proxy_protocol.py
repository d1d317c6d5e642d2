"""The PROXY protocol, versions 1 and 2: what a load balancer says about whom it connects.

Octets in, an address out; knows no socket. Asks for just the octets it needs, so that what follows the header
is left to whoever comes next. Source: HAProxy's proxy-protocol.txt, sections 2.1 and 2.2.
"""

from __future__ import annotations

import ipaddress
from typing import Final

import attrs

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
"""How version 2 begins."""

V1_START: Final = b"PROXY "
V1_SHORTEST: Final = len(b"PROXY UNKNOWN\r\n")
V1_LONGEST: Final = 107
"""Of a line of version 1, with its end."""
V2_FIXED: Final = 16
V2_LONGEST: Final = 4096
"""Of what follows the fixed part of version 2: addresses, and extensions that nobody here reads."""

_LOCAL, _PROXY = 0x20, 0x21
_ADDRESS_OCTETS: Final = {1: 4, 2: 16}
"""By address family: IPv4, IPv6."""


class ProxyProtocolError(Exception):
    """What came is no PROXY header; the text says where it went wrong."""


@attrs.frozen
class Source:
    """Where a client comes from, as its proxy says."""

    address: str
    port: int


class HeaderReader:
    """Reads one header.

    Attributes:
        is_complete: the header is there in full.
        source: the client; None as long as it is not complete, and when the proxy speaks for itself.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self.source: Source | None = None
        self._data = bytearray()

    @property
    def wanted_octets(self) -> int:
        """How many octets are certainly still part of the header; 0 when it is complete."""
        if self.is_complete:
            return 0
        length = len(self._data)
        if length < V1_SHORTEST:
            return V1_SHORTEST - length
        if self._data.startswith(SIGNATURE):
            return self._v2_length() - length
        return 1 if self._data.endswith(b"\r") else 2

    def receive(self, data: bytes | bytearray) -> None:
        """Take octets, no more than are wanted.

        Raises:
            ProxyProtocolError: this is no header; nothing more may be read from this peer.
        """
        assert len(data) <= self.wanted_octets
        self._data += data
        start = bytes(self._data[: len(SIGNATURE)])
        if SIGNATURE.startswith(start):
            self._receive_v2()
        elif start.startswith(V1_START[: len(start)]):
            self._receive_v1()
        else:
            raise ProxyProtocolError(f"begins with {start!r}")

    def _receive_v1(self) -> None:
        data = self._data
        if b"\n" in data[:-1] or b"\r" in data[:-2]:
            raise ProxyProtocolError("a line that does not end in CR LF")
        if data.endswith(b"\n") and not data.endswith(b"\r\n"):
            raise ProxyProtocolError("a line that does not end in CR LF")
        if not data.endswith(b"\r\n"):
            if len(data) >= V1_LONGEST:
                raise ProxyProtocolError(f"a line of more than {V1_LONGEST} octets")
            return
        if len(data) > V1_LONGEST:
            raise ProxyProtocolError(f"a line of more than {V1_LONGEST} octets")
        try:
            words = data[:-2].decode("ascii").split(" ")
        except UnicodeDecodeError:
            raise ProxyProtocolError("a line that is not ASCII") from None
        if words[1] != "UNKNOWN":
            self.source = _source_in(words)
        self.is_complete = True

    def _v2_length(self) -> int:
        if len(self._data) < V2_FIXED:
            return V2_FIXED
        return V2_FIXED + int.from_bytes(self._data[14:16], "big")

    def _receive_v2(self) -> None:
        data = self._data
        if len(data) < V2_FIXED:
            return
        command, family = data[12], data[13] >> 4
        if command not in (_LOCAL, _PROXY):
            raise ProxyProtocolError(f"version and command {command:#04x}")
        length = self._v2_length()
        if length > V2_FIXED + V2_LONGEST:
            raise ProxyProtocolError(f"{length} octets")
        octets = _ADDRESS_OCTETS.get(family, 0) if command == _PROXY else 0
        if length < V2_FIXED + 2 * octets + (4 if octets else 0):
            raise ProxyProtocolError("too short for its addresses")
        if len(data) < length:
            return
        if octets:
            address = ipaddress.ip_address(bytes(data[V2_FIXED : V2_FIXED + octets]))
            ports = V2_FIXED + 2 * octets
            self.source = Source(str(address), int.from_bytes(data[ports : ports + 2], "big"))
        self.is_complete = True


def _source_in(words: list[str]) -> Source:
    """The client in a line such as `PROXY TCP4 192.0.2.1 192.0.2.2 50000 5672`."""
    if len(words) != 6 or words[1] not in ("TCP4", "TCP6"):
        raise ProxyProtocolError(f"{' '.join(words)[:V1_LONGEST]!r}")
    kind = ipaddress.IPv4Address if words[1] == "TCP4" else ipaddress.IPv6Address
    try:
        source, _ = kind(words[2]), kind(words[3])
    except ValueError as error:
        raise ProxyProtocolError(str(error)) from None
    ports = []
    for word in words[4:]:
        if not (word.isascii() and word.isdigit() and (word == "0" or word[0] != "0") and int(word) <= 0xFFFF):
            raise ProxyProtocolError(f"port {word!r}")
        ports.append(int(word))
    return Source(str(source), ports[0])
