"""The disk of a vhost that a cluster keeps: what is written goes into the log first, then into the local files.

A `Replica` is the owner's end of a log: it takes the vhost over, appends, and carries out what a quorum has. Each
thread that writes has a `ReplicatedDisk` of its own on it. What it is told is held back like a page cache until a
barrier, an fsync or the removal of a file, and what barriers hand on is in the log, and then in the files, in the same
order. So local files never hold what the log does not, storage runs on them unchanged, and an error means what it
means on any disk: some of what came since the last barrier may be there, later too.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
from collections.abc import Callable
from functools import partial
from threading import RLock
from typing import Final

from amqp_broker.cluster.copy import MANIFEST, Copy
from amqp_broker.cluster.log import Deposed, Entry, Log, LogUnavailable, OutOfTurn
from amqp_broker.cluster.operations import (
    EPOCH_SUBJECT,
    Kind,
    Operation,
    beginning_of,
    encode_all,
    encode_entry,
    epoch_of,
    subject_of,
)
from amqp_broker.storage.disk import File

log = logging.getLogger(__name__)

TIDY_EVERY: Final = 8
"""After so many files have gone, or as many checkpoints come, the log is purged of them."""

_ATTEMPTS = 20
"""How often to try to be the next to append, while another owner is at it."""

_TEMPORARY = ".tmp"
"""Files of such names are nobody's but this process's until they are renamed."""


class Replica:
    """The owner's end of a vhost's log. Safe in several threads.

    Attributes:
        copy: the local files; nobody else's while this lives.
        epoch: the sequence of the entry with which this took over; 0 before.

    Args:
        log: of the vhost.
        copy: as a follower has left it.
        owner: of the vhost from now on, for people who read the log.
    """

    def __init__(self, log: Log, copy: Copy, owner: str) -> None:
        self.copy = copy
        self.epoch = 0
        self._log = log
        self._owner = owner
        self._lock = RLock()
        self._is_deposed = self._has_claimed = False
        self._token = f"{owner} {secrets.token_hex(8)}".encode()
        self._dead: set[str] = set()
        """Subjects of which nothing is of use but that they have gone."""
        self._replaced: dict[str, int] = {}
        """Subjects, and the entry before which nothing in them is of use."""
        self._untidy = 0

    def take_over(self) -> None:
        """Become the only one who may append; the local files are then those of all that was appended before.

        Raises:
            LogUnavailable: it may be the owner all the same; to be tried again with this object, or left.
            Deposed: somebody else was faster, and came after.
            OSError: the disk refuses.
        """
        entry = encode_entry(EPOCH_SUBJECT, 0, [Operation(Kind.TAKE_OVER, 0, self._token)])
        with self._lock:
            if not self._has_claimed:
                self._log.claim(self.copy.applied)
                self._has_claimed = True
            for _ in range(_ATTEMPTS):
                self._catch_up()
                if self._is_deposed:
                    raise Deposed
                if self.epoch:
                    return
                try:
                    sequence = self._log.append([entry], self.copy.applied)
                except OutOfTurn:
                    continue
                self._carry_out(sequence, entry)
                self.copy.save()
                return
        raise LogUnavailable(f"another owner goes on appending to {self.copy.directory}")

    def commit(self, steps: list[tuple[str, Operation]]) -> None:
        """Append steps, and carry them out.

        Args:
            steps: paths in the directory, and what is to be done to the file.

        Raises:
            Deposed: somebody else has the vhost.
            LogUnavailable: some of it, from the first on, may be in the log, or may come there yet.
            OSError: the local disk refuses; the log may have it.
        """
        with self._lock:
            left = encode_all(self.epoch, steps)
            while left and not self._append(left):
                left = left[self._catch_up(left) :]
            self.copy.save()
            if self._untidy >= TIDY_EVERY:
                try:
                    self._tidy()
                except OSError as error:  # what was to be done here is done
                    log.warning("%s: the log can't be tidied now: %s", self.copy.directory, error)

    def _append(self, entries: list[Entry]) -> bool:
        """Append, and carry out; False if the log is further than the files."""
        if self._is_deposed:
            raise Deposed
        first = self.copy.applied + 1
        try:
            self._log.append(entries, self.copy.applied)
        except OutOfTurn:
            return False
        for sequence, entry in enumerate(entries, first):
            self._carry_out(sequence, entry)
        return True

    def _catch_up(self, wanted: list[Entry] | None = None) -> int:
        """Carry out what was appended without our knowing.

        Returns:
            How many of those that were `wanted`, from the first on, are among it, in their order.
        """
        found = 0
        last = self._log.last()
        if last < self.copy.applied:
            raise LogUnavailable(f"the log ends at {last}, before what {self.copy.directory} has of it")
        while self.copy.applied < last and not self._is_deposed:
            entries = self._log.read(self.copy.applied, 0.0)
            if not entries:
                # Purged at its end, which nobody here does, or whoever answers does not have it yet.
                raise LogUnavailable(f"nothing to be read after {self.copy.applied}, and the log ends at {last}")
            for sequence, entry in entries:
                if self.epoch and (entry.subject == EPOCH_SUBJECT or epoch_of(entry) > self.epoch):
                    self._is_deposed = True
                    break
                if wanted is not None and found < len(wanted) and entry == wanted[found]:
                    found += 1
                self._carry_out(sequence, entry)
        return found

    def _carry_out(self, sequence: int, entry: Entry) -> None:
        self.copy.apply(sequence, entry)
        kind, offset = beginning_of(entry)
        if kind is Kind.TAKE_OVER:
            if self._token in entry.data:
                self.epoch = sequence
        elif kind is Kind.UNLINK:
            self._dead.add(entry.subject)
            self._untidy += 1
        elif kind is Kind.CREATE:
            self._dead.discard(entry.subject)
        elif kind in (Kind.PUT, Kind.PUT_LAST) and not offset:
            self._replaced[entry.subject] = sequence
            self._untidy += 1

    def look_after(self) -> bool:
        """Keep the log fit for the death of servers; every second or so, gives whether it is. See `Log.look_after`."""
        is_well = self._log.look_after()
        with self._lock:
            if self.epoch:
                self._catch_up()
        return is_well

    # Space

    def tidy(self) -> None:
        """Have the log forget what is of no use; for whoever has taken over, and does not know what was done already.

        Raises:
            Deposed: somebody else has the vhost.
            OSError: not now.
        """
        with self._lock:
            there = self._log.subjects()
            paths = self.copy.paths()
            for path in paths:
                if subject_of(path) not in there:
                    log.error("%s: somebody has purged the log of %s: it is appended again", self.copy.directory, path)
                    self._replace(path, partial(self._content_of, path))
            self._dead |= there.keys() - {subject_of(path) for path in (*paths, MANIFEST)} - {EPOCH_SUBJECT}
            self._tidy()

    def _tidy(self) -> None:
        self._untidy = 0
        self._replace(MANIFEST, lambda: "\n".join(self.copy.paths()).encode())
        before = self._replaced[subject_of(MANIFEST)]
        for subject in list(self._dead):
            self._log.purge(subject, before)
            self._dead.discard(subject)
        for subject in list(self._replaced):
            self._log.purge(subject, self._replaced.pop(subject))

    def _replace(self, path: str, content: Callable[[], bytes]) -> None:
        """Put what follows from the files as they are, and not from what they were before doubtful entries came."""
        while not self._append(encode_all(self.epoch, [(path, Operation(Kind.PUT_LAST, 0, content()))])):
            self._catch_up()
        self.copy.save()

    def _content_of(self, path: str) -> bytes:
        file = self.copy.disk.open_for_reading(self.copy.full_path(path))
        return file.pread(file.size(), 0)


class ReplicatedFile:
    """A file that is written by way of the log; read, it is the local one."""

    def __init__(self, disk: ReplicatedDisk, path: str) -> None:
        self._disk = disk
        self._path = path
        self._local: File | None = None

    def pread(self, octets: int, offset: int) -> bytes:
        return self._read_from().pread(octets, offset)

    def pread_now(self, octets: int, offset: int) -> bytes:
        return self._read_from().pread_now(octets, offset)

    def prefetch(self, octets: int, offset: int) -> None:
        self._read_from().prefetch(octets, offset)

    def pwrite(self, data: bytes | bytearray, offset: int) -> None:
        self._disk.note(self._path, Operation(Kind.WRITE, offset, bytes(data)))

    def truncate(self, octets: int) -> None:
        self._disk.note(self._path, Operation(Kind.TRUNCATE, octets))

    def fsync(self) -> None:
        self._disk.flush()

    def size(self) -> int:
        self._disk.flush()
        return self._read_from().size()

    def close(self) -> None:
        self._local = None

    def _read_from(self) -> File:
        local = self._local
        if local is None:
            local = self._local = self._disk.open_for_reading(self._path)
        return local


class TemporaryFile:
    """A file that is in memory until it is renamed."""

    def __init__(self) -> None:
        self.data = bytearray()

    def pread(self, octets: int, offset: int) -> bytes:
        return bytes(self.data[offset : offset + octets])

    def pread_now(self, octets: int, offset: int) -> bytes:
        return self.pread(octets, offset)

    def prefetch(self, octets: int, offset: int) -> None:
        """It is in memory."""

    def pwrite(self, data: bytes | bytearray, offset: int) -> None:
        self.data.extend(bytes(max(0, offset - len(self.data))))
        self.data[offset : offset + len(data)] = data

    def truncate(self, octets: int) -> None:
        del self.data[octets:]

    def fsync(self) -> None:
        """It need not survive anything."""

    def size(self) -> int:
        return len(self.data)

    def close(self) -> None:
        """Nothing is held."""


class ReplicatedDisk:
    """A disk whose writes go by way of a replica. For files of its directory and one thread, but for reading.

    Only barriers raise what `Replica.commit` does: fsyncs, whichever file or directory they are of, `unlink`, and
    questions about files while something is held back.
    """

    def __init__(self, replica: Replica) -> None:
        self._replica = replica
        self._local = replica.copy.disk
        self._prefix = f"{replica.copy.directory}/"
        self._held: list[tuple[str, Operation]] = []
        self._temporary: dict[str, TemporaryFile] = {}

    def note(self, path: str, operation: Operation) -> None:
        """Hold a step back until the next barrier."""
        self._held.append((path.removeprefix(self._prefix), operation))

    def flush(self) -> None:
        """Have all that was held back in the log, and in the files. Raises Deposed, LogUnavailable, OSError."""
        if self._held:
            held, self._held = self._held, []
            self._replica.commit(held)

    def create(self, path: str) -> File:
        if path.endswith(_TEMPORARY):
            temporary = self._temporary[path] = TemporaryFile()
            return temporary
        self.note(path, Operation(Kind.CREATE))
        return ReplicatedFile(self, path)

    def open(self, path: str) -> File:
        if not self.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return ReplicatedFile(self, path)

    def open_for_reading(self, path: str) -> File:
        return self._local.open_for_reading(path)

    def names(self, directory: str) -> list[str]:
        self.flush()
        return self._local.names(directory)

    def exists(self, path: str) -> bool:
        self.flush()
        return self._local.exists(path)

    def make_directory(self, path: str) -> None:
        self._local.make_directory(path)

    def rename(self, source: str, target: str) -> None:
        temporary = self._temporary.pop(source, None)
        if temporary is not None:
            self.note(target, Operation(Kind.PUT_LAST, 0, bytes(temporary.data)))
            return
        self.flush()
        file = self._local.open_for_reading(source)
        self.note(target, Operation(Kind.PUT_LAST, 0, file.pread(file.size(), 0)))
        self.unlink(source)

    def unlink(self, path: str) -> None:
        if self._temporary.pop(path, None) is not None:
            return
        if not self.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        self.note(path, Operation(Kind.UNLINK))
        self.flush()

    def fsync_directory(self, path: str) -> None:  # noqa: ARG002 - there is one log for all of them
        self.flush()

    def free_octets(self, path: str) -> int:
        return self._local.free_octets(path)
