"""PROXY headers: literal ones, every slicing, and many that are damaged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amqp_broker.net.proxy_protocol import SIGNATURE, V2_LONGEST, HeaderReader, ProxyProtocolError, Source

V1 = b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 5672\r\n"


def v2(command: int, family: int, payload: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(payload).to_bytes(2, "big") + payload


IPV4 = bytes([192, 0, 2, 7, 192, 0, 2, 1]) + (56324).to_bytes(2, "big") + (5672).to_bytes(2, "big")
IPV6 = bytes.fromhex("20010db800000000000000000000000720010db8000000000000000000000001") + IPV4[8:]

HEADERS = [
    (V1, Source("192.0.2.7", 56324)),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 56324 5672\r\n", Source("2001:db8::7", 56324)),
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 0 65535\r\n", Source("192.0.2.7", 0)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
    (v2(0x21, 0x11, IPV4), Source("192.0.2.7", 56324)),
    (v2(0x21, 0x21, IPV6), Source("2001:db8::7", 56324)),
    (v2(0x21, 0x11, IPV4 + b"\x04\x00\x01x"), Source("192.0.2.7", 56324)),
    (v2(0x20, 0x00, b""), None),
    (v2(0x20, 0x11, IPV4), None),
    (v2(0x21, 0x00, b""), None),
    (v2(0x21, 0x31, bytes(216)), None),
]


def read(octets: bytes, step: int = 1 << 16) -> tuple[HeaderReader, bytes]:
    """Read a header as a socket would give it; gives what is left behind it too."""
    reader = HeaderReader()
    while octets and not reader.is_complete:
        taken = min(reader.wanted_octets, step)
        reader.receive(octets[:taken])
        octets = octets[taken:]
    return reader, octets


@pytest.mark.parametrize(("header", "source"), HEADERS)
@pytest.mark.parametrize("step", [1, 2, 3, 7, 1 << 16])
def test_a_header_is_read_and_nothing_behind_it(header: bytes, source: Source | None, step: int) -> None:
    for tail in (b"", b"AMQP\x00\x00\x09\x01", b"\r\n", b"\n"):
        reader, rest = read(header + tail, step)
        assert reader.is_complete
        assert reader.source == source
        assert rest == tail
        assert reader.wanted_octets == 0


@pytest.mark.parametrize(("header", "_source"), HEADERS)
def test_a_header_that_is_cut_is_not_complete(header: bytes, _source: Source | None) -> None:
    for length in range(len(header)):
        reader, _ = read(header[:length])
        assert not reader.is_complete
        assert 0 < reader.wanted_octets <= len(header) - length


@pytest.mark.parametrize(
    "octets",
    [
        b"AMQP\x00\x00\x09\x01",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 56324\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 5672 1\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 56324 65536\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 -1 5672\r\n",
        b"PROXY TCP4 192.0.2.7 192.0.2.1 0056324 5672\r\n",
        b"PROXY TCP4 192.0.2.7  192.0.2.1 56324 5672\r\n",
        b"PROXY TCP4 192.0.2.256 192.0.2.1 56324 5672\r\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 56324 5672\r\n",
        b"PROXY TCP6 192.0.2.7 192.0.2.1 56324 5672\r\n",
        b"PROXY UDP4 192.0.2.7 192.0.2.1 56324 5672\r\n",
        b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n",
        b"PROXY UNKNOWN x\nPROXY\r\n",
        b"PROXY UNKNOWN \xff\r\n",
        b"proxy unknown\r\n",
        v2(0x11, 0x11, IPV4),
        v2(0x22, 0x11, IPV4),
        v2(0x21, 0x11, IPV4[:-1]),
        v2(0x21, 0x21, IPV4),
        v2(0x21, 0x11, bytes(V2_LONGEST + 1)),
    ],
)
@pytest.mark.parametrize("step", [1, 1 << 16])
def test_what_is_no_header_is_refused(octets: bytes, step: int) -> None:
    with pytest.raises(ProxyProtocolError):
        read(octets, step)


@given(st.binary(max_size=300) | st.sampled_from(HEADERS).map(lambda pair: pair[0]), st.data())
def test_whatever_comes_is_refused_or_read_within_bounds(octets: bytes, data: st.DataObject) -> None:
    """Damaged headers too: an octet changed, or put in."""
    if octets and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(octets) - 1))
        octets = octets[:at] + data.draw(st.binary(max_size=3)) + octets[at + data.draw(st.integers(0, 1)) :]
    wholes: list[object] = []
    slices: list[object] = []
    for outcome, step in ((wholes, 1 << 16), (slices, 1)):
        try:
            reader, rest = read(octets, step)
        except ProxyProtocolError:
            outcome.append(("refused", None, b""))
        else:
            outcome.append((str(reader.is_complete), reader.source, rest))
    assert wholes == slices
