"""Looking into a data directory without changing it: behind `amqp-broker journal check` and `journal dump`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from amqp_broker.storage.batch import SEGMENTS
from amqp_broker.storage.checkpoint import CHECKPOINT_NAME, read_checkpoint
from amqp_broker.storage.definitions import Definitions, adopted_name
from amqp_broker.storage.disk import Disk, OsDisk
from amqp_broker.storage.records import (
    HEAD,
    HEAD_OCTETS,
    MARK,
    MOVED,
    PUBLISH,
    PUBLISH_HEAD,
    REDELIVERED,
    REMOVE,
    SYNCED,
    TOPOLOGY,
    TRANSIENT,
    decode_marks,
    decode_message,
    decode_ranges,
    decode_references,
    decode_synced,
)
from amqp_broker.storage.recovery import Damage, Recovery, TornTail, inspect
from amqp_broker.storage.scan import read_segment, scan
from amqp_broker.storage.segment import HEADER_OCTETS, Part, SegmentHeader, parse_segment_name, seed_of
from amqp_broker.storage.stream_recovery import dump_streams, inspect_streams
from amqp_broker.storage.streams import RecoveredStream


class CheckReport(NamedTuple):
    """What there is in a data directory. `str()` gives it in lines, the worst last."""

    directory: str
    was_clean: bool
    segments: int
    octets: int
    messages: int
    queues: int
    topology: int
    streams: dict[int, RecoveredStream]
    torn: list[TornTail]
    damage: list[Damage]
    lost_queues: dict[int, int]
    """Queue id → messages, where the queue's declaration is lost."""

    @property
    def is_good(self) -> bool:
        """Whether nothing is damaged; a torn tail is normal after a crash."""
        return not self.damage

    def __str__(self) -> str:
        lines = [
            f"{self.directory}: stopped {'cleanly' if self.was_clean else 'without a clean stop'}",
            f"{self.segments} segments, {self.octets} octets",
            f"{self.messages} messages in {self.queues} queues; {self.topology} topology records since the checkpoint",
        ]
        lines += [_describe_stream(stream_id, found) for stream_id, found in sorted(self.streams.items())]
        lines += [f"torn tail: {torn}" for torn in self.torn]
        lines += [f"DAMAGED: {damage}" for damage in self.damage]
        lines += [
            f"DAMAGED: the declaration of a queue is lost: its messages, {count}, will be in {adopted_name(queue_id)!r}"
            for queue_id, count in self.lost_queues.items()
        ]
        return "\n".join(lines)


def check(
    directory: str, disk: Disk | None = None, read_definitions: Callable[[Recovery], Definitions] | None = None
) -> CheckReport:
    """Do what recovery would do, and change nothing.

    Args:
        directory: the data directory.
        disk: where it is.
        read_definitions: makes sense of the topology, for what damage has done to it; None leaves that out.

    Raises:
        UnknownFormat: a later version of the broker wrote it.
        OSError: it can't be read.
    """
    recovery = inspect(disk or OsDisk(), directory)
    counts: Counter[int] = Counter(reference.queue_id for reference in recovery.messages())
    lost = read_definitions(recovery).lost_queues(counts) if recovery.damage and read_definitions else []
    segments = recovery.journal_state.segments.values()
    streams = inspect_streams(disk or OsDisk(), directory, recovery.journal_state.identity)
    return CheckReport(
        directory,
        recovery.was_clean,
        len(segments),
        sum(segment.end for segment in segments),
        counts.total(),
        len(counts),
        len(recovery.topology),
        streams.streams,
        recovery.torn + streams.torn,
        recovery.damage + streams.damage,
        {queue_id: counts[queue_id] for queue_id in lost},
    )


def dump(directory: str, disk: Disk | None = None) -> Iterator[str]:
    """Yield a line for the checkpoint, for each file and for each record, dead or alive.

    Raises:
        UnknownFormat: a later version of the broker wrote it.
        OSError: it can't be read.
    """
    disk = disk or OsDisk()
    checkpoint, damage = read_checkpoint(disk, directory)
    if damage:
        yield f"{CHECKPOINT_NAME}: DAMAGED: {damage}"
    if checkpoint:
        yield (
            f"{CHECKPOINT_NAME}: record {checkpoint.record}, synced {checkpoint.safe_record}, active segment "
            f"{checkpoint.active}, {'clean' if checkpoint.is_clean else 'running'}, "
            f"snapshot of {len(checkpoint.snapshot)} octets, identity {checkpoint.identity.hex()}"
        )
        for state in checkpoint.segments:
            gone = sum(octet.bit_count() for octet in state.gone)
            yield (
                f"{CHECKPOINT_NAME}: segment {state.number}: {state.references} references, {gone} gone, "
                f"{len(state.marks)} marked{', damaged' if state.is_damaged else ''}"
            )
    folder = f"{directory}/{SEGMENTS}"
    for name in disk.names(folder):
        if parsed := parse_segment_name(name):
            part = Part(parsed[1], f"{folder}/{name}", HEADER_OCTETS)
            yield from _dump_file(disk, name, part)
    yield from dump_streams(disk, directory)


def _describe_stream(stream_id: int, found: RecoveredStream) -> str:
    first = found.segments[0].first if found.segments else found.next_offset
    octets = sum(segment.tip.end for segment in found.segments)
    return (
        f"stream of queue {stream_id}: offsets {first} to {found.next_offset - 1} in {len(found.segments)} segments, "
        f"{octets} octets"
    )


def _dump_file(disk: Disk, name: str, part: Part) -> Iterator[str]:
    header = SegmentHeader.decode(disk.open_for_reading(part.path).pread(HEADER_OCTETS, 0), part.path)
    if header is None:
        yield f"{name}: DAMAGED: no header"
        return
    yield (
        f"{name}: segment {header.number} part {header.part} from offset {header.base}, first record "
        f"{header.first_record} after {header.previous_record}, first ordinal {header.first_ordinal}"
    )
    data = read_segment(disk, [part])  # as if it were the only part: offsets are those of the file
    found = scan(data, seed_of(header.identity, header.number), header.first_record)
    holes = {hole.offset: hole for hole in found.holes}
    for offset in sorted([*found.publishes, *found.others, *holes]):
        if hole := holes.get(offset):
            if hole.end == len(data) and not any(data[offset:]):
                yield f"{name}:{offset}: room: {hole.end - offset} zeros"
                continue
            yield f"{name}:{offset}: UNREADABLE: {hole.end - offset} octets from record {hole.first_record} on"
        if hole is None or hole.end == offset:
            yield f"{name}:{offset}: {_describe(data, offset)}"


def _describe(data: bytes, offset: int) -> str:
    _, length, number, kind = HEAD.unpack_from(data, offset)
    payload = data[offset + HEAD_OCTETS : offset + HEAD_OCTETS + length]
    if kind in (PUBLISH, MOVED):
        ordinal, _, origin = PUBLISH_HEAD.unpack_from(data, offset)[4:7]
        message = decode_message(data, offset)
        what = "PUBLISH" if kind == PUBLISH else f"MOVED from segment {origin}"
        references = ", ".join(
            f"#{ordinal + index} queue {queue_id} position {position}"
            + (f" expires {expires_at_ms}" if expires_at_ms else "")
            + (" redelivered" if flags & REDELIVERED else "")
            + (" transient" if flags & TRANSIENT else "")
            for index, (queue_id, position, expires_at_ms, flags) in enumerate(decode_references(data, offset))
        )
        text = f"{what} address {message.address!r} header {len(message.header)} body {len(message.body)}: {references}"
    elif kind == REMOVE:
        ranges = (f"segment {segment} #{first}+{count}" for segment, first, count in decode_ranges(payload))
        text = "REMOVE " + ", ".join(ranges)
    elif kind == MARK:
        marks = (
            f"segment {segment} #{ordinal} deliveries {deliveries} flags {flags:#04x}"
            for segment, ordinal, deliveries, flags in decode_marks(payload)
        )
        text = "MARK " + ", ".join(marks)
    elif kind == TOPOLOGY:
        text = f"TOPOLOGY kind {payload[0]}, {length - 1} octets"
    elif kind == SYNCED:
        text = f"SYNCED up to {decode_synced(payload)[0]}"
    else:
        text = f"type {kind:#04x}, {length} octets"
    return f"record {number} {text}"
