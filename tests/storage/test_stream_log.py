"""Logs of streams by themselves: what a look-up costs, and what damage costs."""

from __future__ import annotations

from random import Random

import pytest

from amqp_broker.storage.memory import MemoryStreams
from amqp_broker.storage.settings import JournalSettings
from amqp_broker.storage.stream_log import Cursor, StreamLimits, StreamLog
from amqp_broker.storage.stream_recovery import inspect_streams, recover_streams
from amqp_broker.storage.streams import Streams
from tests.crash.plain_message import body_of, plain_message
from tests.storage.harness import DIRECTORY, Clock
from tests.storage.simulated_disk import SimulatedDisk

IDENTITY = bytes(16)


def write(streams: Streams) -> None:
    while (batch := streams.take_batch()) is not None:
        batch.execute(streams.disk)
        streams.batch_done(batch, None)


def bodies(log: StreamLog, offset: int = 0) -> list[bytes]:
    cursor = Cursor(log, offset, None)
    found = []
    while (message := cursor.next()) is not None:
        found.append(body_of(message))
    return found


@pytest.mark.rule("4.52")
def test_looking_up_an_offset_or_an_instant_touches_few_segments() -> None:
    clock = Clock()
    streams = MemoryStreams()
    streams.on_work = lambda: None
    log = streams.open(1, StreamLimits(segment_octets=256 << 10), plain_message, clock)
    for number in range(200_000):
        log.append(b"\0\0", b"h", b"%08d" % number)
        if number % 200 == 199:
            clock.now += 1.0
            write(streams)
    assert log.segment_count > 15
    assert log.readable_offset == 200_000
    for offset in (0, 1, 77_777, 123_456, 199_999):
        before = streams.segments_read
        message = Cursor(log, offset, None).next()
        assert message is not None
        assert body_of(message) == b"%08d" % offset
        assert streams.segments_read - before <= 2
    for second in (0, 1, 500, 999):
        before = streams.segments_read
        assert log.offset_at((1000 + second) * 1000) == second * 200
        assert streams.segments_read - before <= 2


def of_three_streams(settings: JournalSettings, limits: StreamLimits) -> tuple[Streams, list[StreamLog]]:
    """Each with 300 messages, a chunk of about a kibibyte for every ten."""
    streams = Streams(SimulatedDisk(Random(0)), DIRECTORY, IDENTITY, settings)
    streams.disk.make_directory(f"{DIRECTORY}/streams")
    logs = [streams.open(number, limits, plain_message, Clock()) for number in range(3)]
    for number in range(300):
        for log in logs:
            log.append(b"\0\0", b"h", b"%03d" % number + bytes(97))
        if number % 10 == 9:
            write(streams)
    return streams, logs


def test_what_is_remembered_of_all_streams_is_bounded() -> None:
    limit = 20_000
    streams, logs = of_three_streams(JournalSettings(stream_cache_octets=limit), StreamLimits())
    for log in logs:
        cursor = Cursor(log, 0, None)
        while cursor.next() is not None:
            assert 0 < streams.cached_octets <= limit


@pytest.mark.rule("4.54")
@pytest.mark.parametrize(
    ("limits", "octets"),
    [
        (StreamLimits(), 10_000),
        (StreamLimits(max_octets=30_000), 10_000),
        (StreamLimits(segment_octets=5_000), 5_000),
        (StreamLimits(segment_octets=20_000), 20_000),
    ],
)
def test_segments_have_the_usual_size_unless_a_stream_has_its_own(limits: StreamLimits, octets: int) -> None:
    streams, logs = of_three_streams(JournalSettings(stream_segment_octets=10_000), limits)
    names = [name for name in streams.disk.names(f"{DIRECTORY}/streams") if name.endswith(".seg")]
    sizes = [len(streams.disk.open_for_reading(f"{DIRECTORY}/streams/{name}").pread(1 << 20, 0)) for name in names]
    assert octets <= max(sizes) < octets + 2_000
    assert len(names) == sum(log.segment_count for log in logs) > 3


def damaged(position_of: int) -> tuple[SimulatedDisk, str]:
    """A stream of 30 messages in three chunks, stopped in peace, with a bit flipped in one of them."""
    disk = SimulatedDisk(Random(0))
    disk.make_directory(f"{DIRECTORY}/streams")
    streams = Streams(disk, DIRECTORY, IDENTITY, JournalSettings())
    log = streams.open(1, StreamLimits(), plain_message, Clock())
    for chunk in range(3):
        for number in range(10):
            log.append(b"\0\0", b"h", b"body %02d" % (chunk * 10 + number))
        write(streams)
    streams.finish()
    write(streams)
    path = next(path for path in disk.paths() if path.endswith(".seg"))
    octets = bytearray(disk.get(path))
    octets[octets.index(b"body %02d" % position_of)] ^= 1
    disk.put(path, bytes(octets))
    return disk, path


@pytest.mark.parametrize("number", [5, 15, 25])
def test_flipped_bit_costs_its_chunk_and_is_reported(number: int) -> None:
    disk, path = damaged(number)
    lost = range(number // 10 * 10, number // 10 * 10 + 10)
    (report,) = inspect_streams(disk, DIRECTORY, IDENTITY).damage
    assert (report.path, report.first_record, report.records) == (path, lost[0], 10)
    found = recover_streams(disk, DIRECTORY, IDENTITY)
    streams = Streams(disk, DIRECTORY, IDENTITY, JournalSettings(), found.streams)
    log = streams.open(1, StreamLimits(), plain_message, Clock())
    assert bodies(log) == [b"body %02d" % each for each in range(30) if each not in lost]
    assert log.next_offset == 30


def test_start_after_a_clean_stop_believes_the_index() -> None:
    disk, _ = damaged(5)
    found = recover_streams(disk, DIRECTORY, IDENTITY)
    assert not found.damage
    assert found.streams[1].next_offset == 30
    assert found.streams[1].segments[0].index is None


def test_lost_index_is_made_again() -> None:
    disk, path = damaged(5)
    index = path.removesuffix("seg") + "idx"
    disk.unlink(index)
    recover_streams(disk, DIRECTORY, IDENTITY)
    assert disk.exists(index)
