"""Batches: what the writer does in its thread. Plain blocking functions over a `Disk`; the journal judges the result.

A batch raises the `OSError` that stopped it. It never writes again to a file that has failed.
"""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import Final, NamedTuple

from amqp_broker.storage.checkpoint import Checkpoint, write_checkpoint
from amqp_broker.storage.disk import Disk, File
from amqp_broker.storage.segment import HEADER_OCTETS, Part, Segment

SEGMENTS: Final = "segments"
DAMAGED: Final = "damaged"
RESERVE: Final = "reserve"

SMALL_OCTETS: Final = 256 << 10
"""Larger batches get no room ahead: writing twice would be dearer than what it saves."""


class Stretch:
    """Records that follow one another in one segment and are written together.

    Attributes:
        segment: whose they are.
        offset: where the first begins.
        first_record: number of the first.
        first_reference: ordinal the next reference had when the stretch began.
        count: of the records.
        data: all of them, encoded; once the stretch is handed to the writer it stays what it is.
        is_awaited: somebody may wait for them: they are to be written now, and fsynced in mode "always".
        seals: the segment ends with this stretch.
    """

    __slots__ = (
        "count",
        "data",
        "first_record",
        "first_reference",
        "is_awaited",
        "offset",
        "references",
        "seals",
        "segment",
    )

    def __init__(self, segment: Segment, first_record: int) -> None:
        self.segment = segment
        self.offset = segment.end
        self.first_record = first_record
        self.first_reference = self.references = segment.references
        self.count = 0
        self.data = bytearray()
        self.is_awaited = False
        self.seals = False

    @property
    def last_record(self) -> int:
        return self.first_record + self.count - 1

    @property
    def octets(self) -> int:
        return len(self.data)

    def absorb(self, following: Stretch) -> None:
        """Take over the records of the stretch that comes right after this one."""
        self.segment.unwritten.remove(following)
        self.count += following.count
        self.data += following.data
        self.references = following.references
        self.is_awaited |= following.is_awaited
        self.seals |= following.seals


class Append(NamedTuple):
    """Data for a file that is open.

    Attributes:
        file: the file.
        data: what is written.
        offset: where it begins.
        room_octets: how many zeros to write behind it.
        is_synced: whether to fsync.
    """

    file: File
    data: bytearray
    offset: int
    room_octets: int
    is_synced: bool


class DataBatch:
    """Appends a stretch to its segment.

    Attributes:
        stretch: what is written.
        part: the file it goes to.
        header: the file's header if the file is to be made.
        is_synced: whether to fsync.
        room_octets: how many zeros to write behind the records when there are none left; see `JournalSettings`.
        failed: the part that this one follows; what its last write left is given back to the disk.
    """

    def __init__(
        self,
        directory: str,
        stretch: Stretch,
        part: Part,
        header: bytes | None,
        failed: Part | None,
        *,
        is_synced: bool,
        room_octets: int = 0,
    ) -> None:
        self._directory = directory
        self._room_octets = room_octets
        self.stretch = stretch
        self.part = part
        self.header = header
        self.failed = failed
        self.is_synced = is_synced

    def as_append(self) -> Append | None:
        """What there is to do, for somebody else to do it; None where that is more than to append to an open file."""
        part, data = self.part, self.stretch.data
        if self.header is not None or part.file is None or self.stretch.seals:
            return None
        offset = part.position(self.stretch.offset)
        return Append(part.file, data, offset, self._take_room(offset + len(data)), self.is_synced)

    def _take_room(self, end: int) -> int:
        """How many zeros are to be written behind the records, which end there."""
        if not self.is_synced or end <= self.part.room or len(self.stretch.data) > SMALL_OCTETS:
            return 0
        if self._room_octets:
            self.part.room = end + self._room_octets
        return self._room_octets

    def execute(self, disk: Disk) -> None:
        """Write, in the calling thread.

        Raises:
            OSError: nothing of the stretch may be believed to be on disk.
        """
        data = self.stretch.data
        if self.header is not None:
            if self.failed:
                with suppress(OSError):  # for the room only
                    disk.open(self.failed.path).truncate(self.failed.written)
            file = disk.create(self.part.path)
            if self.failed:
                # Once it has a header it takes the other's place, which may hold some of this, if not safely.
                file.pwrite(data, HEADER_OCTETS)
                file.fsync()
                file.pwrite(self.header, 0)
            else:
                file.pwrite(b"".join((self.header, data)), 0)
            file.fsync()
            disk.fsync_directory(f"{self._directory}/{SEGMENTS}")
            self.part.file = file
            return
        part = self.part
        file = part.file or disk.open(part.path)
        end = part.position(self.stretch.offset) + len(data)
        if data:
            file.pwrite(data, end - len(data))
        if self.stretch.seals:
            if end < part.room:
                file.truncate(end)
        elif room_octets := self._take_room(end):
            with suppress(OSError):  # a disk that is nearly full; it is only for speed
                file.pwrite(bytes(room_octets), end)
        if self.is_synced:
            file.fsync()


class CheckpointBatch:
    """Replaces the checkpoint, then gives back the files of segments with nothing live.

    A disk that is full of messages needs a little room for the checkpoint that frees it: the file `reserve` is
    that room, given up when a checkpoint finds none, and taken again when there is.

    Attributes:
        checkpoint: to be written.
        dead: segments with nothing live. The files of damaged ones are set aside, never deleted; the checkpoint
            goes on naming these until that is done.
        buried: those of them whose files are out of the way, or need only be tried again.
        leftover: paths of files that could not be removed; the next checkpoint tries again.
    """

    def __init__(
        self, directory: str, checkpoint: Checkpoint, dead: list[Segment], leftover: list[str], reserve_octets: int
    ) -> None:
        self._directory = directory
        self._reserve_octets = reserve_octets
        self.checkpoint = checkpoint
        self.dead = dead
        self.leftover = leftover
        self.buried: list[Segment] = []

    def execute(self, disk: Disk) -> None:
        """Write, in the calling thread.

        Raises:
            OSError: the old checkpoint may still be the one that counts; no file was removed.
        """
        reserve = f"{self._directory}/{RESERVE}"
        try:
            write_checkpoint(disk, self._directory, self.checkpoint)
        except OSError as error:
            if error.errno != errno.ENOSPC or not disk.exists(reserve):
                raise
            disk.unlink(reserve)
            write_checkpoint(disk, self._directory, self.checkpoint)
        paths, self.leftover = self.leftover, []
        for segment in self.dead:
            files = [part.path for part in segment.parts]
            if not segment.is_damaged:
                paths += files
            elif not set_aside(disk, self._directory, files):
                continue
            self.buried.append(segment)
        for path in paths:
            try:
                disk.unlink(path)
            except FileNotFoundError:
                pass
            except OSError:
                self.leftover.append(path)
        self._take_reserve(disk, reserve)

    def _take_reserve(self, disk: Disk, path: str) -> None:
        if not self._reserve_octets or disk.exists(path):
            return
        try:
            disk.create(path).pwrite(bytes(self._reserve_octets), 0)
        except OSError:
            with suppress(OSError):
                disk.unlink(path)


Batch = DataBatch | CheckpointBatch


def set_aside(disk: Disk, directory: str, paths: list[str]) -> bool:
    """Move files into `damaged/`, beside those already there.

    Returns:
        Whether it was done; what can't be moved stays where it is.
    """
    aside = f"{directory}/{DAMAGED}"
    try:
        disk.make_directory(aside)
        taken = set(disk.names(aside))
        for path in paths:
            if disk.exists(path):
                name = free_name(path.rpartition("/")[2], taken)
                taken.add(name)
                disk.rename(path, f"{aside}/{name}")
        disk.fsync_directory(aside)
    except OSError:
        return False
    return True


def free_name(name: str, taken: set[str]) -> str:
    """Find a name nothing has, by a number behind it."""
    candidate, number = name, 1
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate
