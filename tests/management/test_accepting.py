"""Which header `accept-encoding` asks for gzip."""

from __future__ import annotations

import pytest

from amqp_broker.management.accepting import accepts_gzip


@pytest.mark.parametrize(
    ("header", "accepts"),
    [
        ("", False),
        ("gzip", True),
        ("br, GZIP", True),
        ("deflate;q=1, gzip;q=0.5", True),
        ("gzip; q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0.001", True),
        ("identity", False),
        ("x-gzip-like", False),
    ],
)
def test_gzip_is_named(header: str, accepts: bool) -> None:
    assert accepts_gzip(header) is accepts
