"""When certificates expire, read from their files. Source: RFC 5280, 4.1."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"

_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
"""With two digits for the year; those from 50 on are of the last century."""


def expiries_in(path: Path) -> Iterator[datetime]:
    """Until when each certificate of a PEM file is valid.

    Raises:
        OSError: it can't be read.
        ValueError: it is not what it should be.
    """
    text = path.read_text("ascii", "replace")
    for part in text.split(_BEGIN)[1:]:
        yield _not_after(ssl.PEM_cert_to_DER_cert(f"{_BEGIN}{part.partition(_END)[0]}{_END}"))


def _not_after(certificate: bytes) -> datetime:
    try:
        ((_, whole),) = _elements(certificate)
        (_, signed), *_ = _elements(whole)
        parts = [content for tag, content in _elements(signed) if tag != _VERSION]
        _, (tag, octets) = _elements(parts[3])
    except (IndexError, ValueError):
        raise ValueError("not a certificate") from None
    digits = octets.decode("ascii").removesuffix("Z")
    if tag == _UTC_TIME:
        digits = ("19" if digits >= "50" else "20") + digits
    return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _elements(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """The parts of a DER sequence: tag and content."""
    offset = 0
    while offset < len(octets):
        tag, length = octets[offset], octets[offset + 1]
        offset += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(octets[offset : offset + size], "big")
            offset += size
        yield tag, octets[offset : offset + length]
        offset += length
