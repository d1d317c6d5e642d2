"""What passes between two nodes can't be changed on its way."""

from __future__ import annotations

from functools import partial

import pytest
import trio
import trio.testing

from amqp_broker.net.sealing import PIECE_OCTETS, SealedStream

SECRET = b"secret"
BEGUN = b"used once"


def pair() -> tuple[SealedStream, SealedStream]:
    ours, theirs = trio.testing.memory_stream_pair()
    return (
        SealedStream(ours, SECRET, BEGUN, is_asking=True),
        SealedStream(theirs, SECRET, BEGUN, is_asking=False),
    )


async def everything(stream: trio.abc.ReceiveStream, at_once: int = 1000) -> bytes:
    found = b""
    while data := await stream.receive_some(at_once):
        found += data
    return found


async def test_each_side_gets_what_the_other_says(nursery: trio.Nursery) -> None:
    asking, answering = pair()
    said = bytes(range(256)) * (PIECE_OCTETS // 100)
    nursery.start_soon(asking.send_all, said)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(asking.send_eof)
    assert await everything(answering) == said
    assert await answering.receive_some() == b""
    nursery.start_soon(answering.send_all, b"yes")
    assert await asking.receive_some(2) + await asking.receive_some() == b"yes"


async def sealed(*said: bytes) -> bytes:
    """What goes over the wire."""
    ours, theirs = trio.testing.memory_stream_pair()
    stream = SealedStream(ours, SECRET, BEGUN, is_asking=True)
    for piece in said:
        await stream.send_all(piece)
    await stream.send_eof()
    await ours.send_eof()
    return await everything(theirs)


async def heard(octets: bytes, begun: bytes = BEGUN, *, is_asking: bool = False) -> bytes:
    """What the other side takes of it."""
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all(octets)
    await ours.send_eof()
    return await everything(SealedStream(theirs, SECRET, begun, is_asking=is_asking))


async def test_no_octet_can_be_changed() -> None:
    octets = await sealed(b"one", b"two")
    assert await heard(octets) == b"onetwo"
    for position in range(len(octets)):
        changed = bytearray(octets)
        changed[position] ^= 1
        with pytest.raises(trio.BrokenResourceError):
            await heard(bytes(changed))


async def test_nothing_can_be_cut_off_left_out_repeated_or_reversed() -> None:
    octets = await sealed(b"one", b"two")
    piece = 4 + 3 + 32
    first, second, end = octets[:piece], octets[piece : 2 * piece], octets[2 * piece :]
    for length in range(len(octets)):
        with pytest.raises(trio.BrokenResourceError):
            await heard(octets[:length])
    for changed in (first + end, second + end, first + first + end, second + first + end):
        with pytest.raises(trio.BrokenResourceError):
            await heard(changed)


async def test_a_piece_that_would_be_too_long_is_not_waited_for(autojump_clock: object) -> None:
    ours, theirs = trio.testing.memory_stream_pair()
    await ours.send_all((PIECE_OCTETS + 1).to_bytes(4, "big"))
    with trio.fail_after(1), pytest.raises(trio.BrokenResourceError):
        await SealedStream(theirs, SECRET, BEGUN, is_asking=False).receive_some()


@pytest.mark.parametrize("other", [partial(heard, begun=b"another"), partial(heard, is_asking=True)])
async def test_it_counts_in_one_direction_of_one_connection(other: partial[trio.abc.ReceiveStream]) -> None:
    with pytest.raises(trio.BrokenResourceError):
        await other(await sealed(b"one"))  # type: ignore[misc]
