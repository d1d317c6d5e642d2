"""Rewriting: what is live in sparse segments is appended again, so that their files can go.

Decides which segment, and cuts the work into steps; the pace is the committer's. A damaged segment comes first,
whatever it holds: its live messages leave it, and the file is set aside.
"""

from __future__ import annotations

from array import array

from amqp_broker.storage.disk import Disk
from amqp_broker.storage.journal import Journal
from amqp_broker.storage.records import HEAD, HEAD_OCTETS, Reference, decode_references
from amqp_broker.storage.scan import read_segment, scan
from amqp_broker.storage.segment import Segment

_SPARE_SEGMENTS = 2
"""So many segments' worth of dead octets is not worth the work."""


class LoadedSegment:
    """A segment in memory while it is rewritten."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.data = b""
        self.publishes = array("I")

    def execute(self, disk: Disk) -> None:
        """Read it, in the calling thread."""
        # A header that is lost tells no first number; the lowest will do, for numbers only guide the search.
        found = scan(read_segment(disk, self.segment.parts), self.segment.seed, 1, is_number_known=False)
        self.data, self.publishes = found.data, found.publishes


class Rewriter:
    """Rewrites one segment after the other."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._loaded: LoadedSegment | None = None
        self._next = 0
        self._done: set[int] = set()

    @property
    def is_loaded(self) -> bool:
        return self._loaded is not None

    def choose(self) -> LoadedSegment | None:
        """Return the segment most worth rewriting, to be read and given to `begin`."""
        journal, settings = self._journal, self._journal.settings
        self._done &= journal.segments.keys()
        if journal.stalled or journal.is_behind:
            return None
        candidates = [
            segment
            for segment in journal.segments.values()
            if segment.is_sealed
            and segment.live
            and segment.safe_end == segment.end
            and segment.number not in self._done
        ]
        damaged = [segment for segment in candidates if segment.is_damaged]
        if damaged:
            return LoadedSegment(damaged[0])
        live, held = journal.live_octets, journal.disk_octets
        if held < settings.spread * live + _SPARE_SEGMENTS * settings.segment_octets:
            return None
        limit = settings.sparse_share * settings.segment_octets
        sparse = [segment for segment in candidates if segment.live_octets < limit]
        return LoadedSegment(min(sparse, key=lambda segment: segment.live_octets)) if sparse else None

    def begin(self, loaded: LoadedSegment) -> None:
        """Take a segment that has been read."""
        self._loaded = loaded
        self._next = 0

    def step(self, max_octets: int) -> int:
        """Move about so many octets of the segment at hand.

        Returns:
            How many octets were appended.
        """
        loaded = self._loaded
        if loaded is None:
            return 0
        segment, data = loaded.segment, loaded.data
        moved = 0
        while self._next < len(loaded.publishes) and moved < max_octets:
            offset = loaded.publishes[self._next]
            self._next += 1
            octets = HEAD_OCTETS + HEAD.unpack_from(data, offset)[1]
            first = int.from_bytes(data[offset + HEAD_OCTETS : offset + HEAD_OCTETS + 4], "big")
            references: list[tuple[int, Reference]] = [
                (first + index, reference)
                for index, reference in enumerate(decode_references(data, offset))
                if segment.is_live(first + index)
            ]
            if references:
                self._journal.move(segment, data[offset : offset + octets], references)
                moved += octets
        if self._next >= len(loaded.publishes):
            self._done.add(segment.number)
            self._loaded = None
        return moved
