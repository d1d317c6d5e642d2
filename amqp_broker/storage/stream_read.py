"""What is read of streams: at once where it is in the system's memory, else in a thread, while the loop goes on.

`streams` decides which, and hands out what was read.
"""

from __future__ import annotations

from typing import Final

from amqp_broker.storage.disk import Disk, File
from amqp_broker.storage.records import HEAD_OCTETS
from amqp_broker.storage.stream_format import chunk_octets
from amqp_broker.storage.stream_log import StreamLog, StreamSegment

WINDOW_OCTETS: Final = 128 << 10
"""What is read at once: a chunk or two, or hundreds of small ones."""

AHEAD_OCTETS: Final = 2 << 20
"""What the system is asked to have at hand behind that, once a reader has had to wait: it is likely to go on."""


class StreamRead:
    """Chunks that follow one another in one segment.

    Attributes:
        log: whose they are.
        segment: where they are.
        position: of the first.
        data: what was read: the whole of the first chunk, where it can be told how long that is.
        error: what stopped it.
    """

    __slots__ = ("_end", "_file", "data", "error", "log", "position", "segment")

    def __init__(self, log: StreamLog, segment: StreamSegment, position: int, file: File) -> None:
        self.log = log
        self.segment = segment
        self.position = position
        self.data = b""
        self.error: OSError | None = None
        self._file = file
        self._end = segment.readable.end

    def is_at_hand(self) -> bool:
        """Read what need not be waited for; tells whether that is enough. Raises OSError."""
        try:
            self.data = self._file.pread_now(min(WINDOW_OCTETS, self._end - self.position), self.position)
            if self._missing:
                self.data = self._file.pread_now(self._needed, self.position)
        except BlockingIOError:
            return False
        return not self._missing

    def execute(self) -> None:
        """Read, in the calling thread. Raises OSError."""
        self.data = self._file.pread(min(WINDOW_OCTETS, self._end - self.position), self.position)
        if self._missing:
            self.data = self._file.pread(self._needed, self.position)

    def prefetch(self) -> None:
        """Let the system read what comes next."""
        ahead = min(AHEAD_OCTETS, self._end - self.position)
        if ahead > 0:
            self._file.prefetch(ahead, self.position)

    @property
    def _needed(self) -> int:
        """Octets of the first chunk; all there may be, where its length makes no sense."""
        left = self._end - self.position
        if left < HEAD_OCTETS or len(self.data) < HEAD_OCTETS:
            return min(HEAD_OCTETS, left)
        octets = chunk_octets(self.data, 0)
        return octets if octets <= left else 0

    @property
    def _missing(self) -> bool:
        return len(self.data) < self._needed


class StreamReads:
    """What readers wait for, to be read in a thread."""

    def __init__(self, reads: list[StreamRead]) -> None:
        self.reads = reads

    def execute(self, _disk: Disk) -> None:
        """Read, in the calling thread; each has its own error."""
        for read in self.reads:
            read.prefetch()
        for read in self.reads:
            try:
                read.execute()
            except OSError as error:
                read.error = error
