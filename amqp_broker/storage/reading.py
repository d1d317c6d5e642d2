"""Reading what the journal holds: from memory while it is not safely on disk, else from its segment's file."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from amqp_broker.storage.disk import Disk
from amqp_broker.storage.errors import DamagedRecord
from amqp_broker.storage.records import Location, StoredMessage, decode_message, is_valid
from amqp_broker.storage.segment import Part, Segment

MAX_OCTETS: Final = 1 << 20
"""What `read_many` reads at most, unless it is told otherwise."""

_OPEN_FILES: Final = 64
"""Sealed segments kept open for reading."""
_GAP_OCTETS: Final = 64 << 10
"""Messages closer together than this are read in one go: octets are cheaper than system calls."""


class SegmentReader:
    """Reads messages. Safe in a thread.

    Args:
        disk: where the files are.
        segments: the journal's, by number.
    """

    def __init__(self, disk: Disk, segments: dict[int, Segment]) -> None:
        self._disk = disk
        self._segments = segments
        self._open_parts: deque[Part] = deque()

    def read(self, location: Location) -> StoredMessage:
        """Read a message, from memory while it is not safely on disk.

        Raises:
            DamagedRecord: it can't be read as it was written.
            OSError: the disk refuses.
        """
        segment = self._segments[location.segment]
        record = segment.unwritten_record(location.offset, location.length)
        if record is None:
            record = self._read(segment, location.offset, location.length)
            if not is_valid(segment.seed, record):
                raise DamagedRecord(segment.part_at(location.offset).path, location.offset)
        return decode_message(record)

    def read_many(self, locations: Sequence[Location], max_octets: int = MAX_OCTETS) -> list[StoredMessage]:
        """Read ahead: the messages of as many locations, from the first on, as fit; at least one.

        Locations that lie close together in a segment cost one read of the disk.

        Raises:
            DamagedRecord: the first can't be read; one further on just ends the list before it.
            OSError: the disk refuses.
        """
        messages: list[StoredMessage] = []
        octets = 0
        window = b""
        window_segment, window_offset = -1, 0
        for index, location in enumerate(locations):
            octets += location.length
            if messages and octets > max_octets:
                break
            segment = self._segments[location.segment]
            record = segment.unwritten_record(location.offset, location.length)
            if record is None:
                start = location.offset - window_offset
                if location.segment != window_segment or start < 0 or start + location.length > len(window):
                    window = self._read_window(segment, locations, index, max_octets)
                    window_segment, window_offset, start = location.segment, location.offset, 0
                record = window[start : start + location.length]
                if not is_valid(segment.seed, record):
                    if messages:
                        break
                    raise DamagedRecord(segment.part_at(location.offset).path, location.offset)
            messages.append(decode_message(record))
        return messages

    def _read_window(self, segment: Segment, locations: Sequence[Location], index: int, max_octets: int) -> bytes:
        """Read from one location on as far as those after it are near."""
        start = locations[index].offset
        end = start + locations[index].length
        part = segment.part_at(start)
        for following in locations[index + 1 :]:
            if (
                following.segment != segment.number
                or not end - _GAP_OCTETS <= following.offset <= end + _GAP_OCTETS
                or following.offset < start
                or following.offset + following.length - start > max_octets
                or segment.part_at(following.offset) is not part
                or following.offset >= segment.safe_end
            ):
                break
            end = max(end, following.offset + following.length)
        return self._read(segment, start, end - start)

    def _read(self, segment: Segment, offset: int, octets: int) -> bytes:
        part = segment.part_at(offset)
        if part.file is None:
            self._open_parts.append(part)
            if len(self._open_parts) > _OPEN_FILES:
                # Whoever is reading from it holds on to the file; it closes when they are through.
                self._open_parts.popleft().file = None
        return segment.read(self._disk, offset, octets)
