"""The files of one vhost on one machine: what the log makes of an empty directory, up to some entry.

Nothing else writes these files, so every machine has the same ones, and a number says how far: the sequence of the
last entry that was carried out. It stands in a file beside them. To carry out entries again that have been carried
out before ends where it did the first time, so the number may lag behind the files.

Files are not fsynced: the log is what is safe. A process that is killed loses nothing; after a power cut, of which
another boot id tells, the files begin at what a clean stop has fsynced, or from nothing.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

import psutil
from google_crc32c import value

from amqp_broker.cluster.log import Entry
from amqp_broker.cluster.operations import EPOCH_SUBJECT, Kind, Operation, decode_entry, epoch_of, path_of
from amqp_broker.storage.batch import DAMAGED, SEGMENTS
from amqp_broker.storage.checkpoint import CHECKPOINT_NAME
from amqp_broker.storage.disk import Disk, File
from amqp_broker.storage.streams import STREAMS

log = logging.getLogger(__name__)

MANIFEST: Final = "manifest"
"""The file that lists all others: whoever reads the log late need not be told of each one that is gone."""

DIRECTORIES: Final = (SEGMENTS, STREAMS, DAMAGED)

_MARKER = "applied"
_MARKER_HEAD = Struct(">8s4QHH")
"""Magic, safe and its epoch, applied and its epoch, octets of identity and boot id; then these two and a CRC."""
_MAGIC = b"AMQPCOPY"
_OPEN_FILES = 16


_Place: TypeAlias = tuple[int, int]
"""Sequence and epoch."""

_NOWHERE: Final[_Place] = (0, 0)


class _Marker(NamedTuple):
    """What stands beside the files. `applied` counts only if the machine has not started anew since."""

    identity: str
    safe: _Place
    applied: _Place
    boot: str


def boot_id() -> str:
    """Something that is the same until the machine starts anew."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


class Copy:
    """The files of a vhost, and how far the log has been carried out on them. Belongs to one thread at a time.

    Attributes:
        disk: where they are.
        directory: their common one; nothing else is in it.
        applied: sequence of the last entry that was carried out.
        epoch: sequence of the entry with which the vhost was last taken over, as far as that.
    """

    def __init__(self, disk: Disk, directory: str, identity: str, boot: str) -> None:
        self.disk = disk
        self.directory = directory
        self.applied = 0
        self.epoch = 0
        self._identity = identity
        self._boot = boot
        self._safe = _NOWHERE
        self._files: OrderedDict[str, File] = OrderedDict()
        self._marker: File | None = None
        self._unfinished: dict[str, _Place] = {}
        """Files of which only first parts of what takes their place are there, and the entry before these."""

    def full_path(self, path: str) -> str:
        return f"{self.directory}/{path}"

    def paths(self) -> list[str]:
        """All files that the log has made."""
        names = [CHECKPOINT_NAME] if self.disk.exists(self.full_path(CHECKPOINT_NAME)) else []
        for directory in DIRECTORIES:
            names += [f"{directory}/{name}" for name in self.disk.names(self.full_path(directory)) if _is_whole(name)]
        return names

    # Entries

    def apply(self, sequence: int, entry: Entry) -> None:
        """Carry out the next entry. One that its author appended after another had taken over changes nothing.

        Raises:
            OSError: it was not, or not wholly; it may be tried again.
            UnknownFormat: a later version of the broker wrote it.
        """
        if entry.subject == EPOCH_SUBJECT:
            self.epoch = sequence
        elif epoch_of(entry) >= self.epoch:
            path = path_of(entry.subject)
            for operation in decode_entry(entry):
                self._carry_out(path, operation)
        self.applied = sequence

    def _carry_out(self, path: str, operation: Operation) -> None:
        kind, offset, data = operation
        if kind is Kind.CREATE:
            self._forget(path)
            self._keep(path, self.disk.create(self.full_path(path)))
        elif kind is Kind.WRITE:
            if (file := self._file(path)) is not None:
                file.pwrite(data, offset)
        elif kind is Kind.TRUNCATE:
            if (file := self._file(path)) is not None and file.size() > offset:
                file.truncate(offset)
        elif kind is Kind.UNLINK:
            self._unlink(path)
        else:
            self._put(path, operation)

    def _put(self, path: str, operation: Operation) -> None:
        kind, offset, data = operation
        partial = f"{path}.part"
        if not offset:
            self._unfinished[path] = (self.applied, self.epoch)
            self._keep(partial, self.disk.create(self.full_path(partial)))
        if (file := self._file(partial)) is None:
            return  # its beginning was purged: another one follows
        file.pwrite(data, offset)
        if kind is Kind.PUT_LAST:
            self._forget(partial)
            self._forget(path)
            self.disk.rename(self.full_path(partial), self.full_path(path))
            self._unfinished.pop(path, None)
            if path == MANIFEST:
                self._remove_others()

    def _remove_others(self) -> None:
        """Remove what the manifest does not list: the log no longer tells that it is gone."""
        listed = set(self.manifest())
        for path in self.paths():
            if path not in listed:
                self._unlink(path)

    def manifest(self) -> list[str]:
        """The files that there were when the last manifest was written; none if there is none."""
        try:
            file = self.disk.open_for_reading(self.full_path(MANIFEST))
        except FileNotFoundError:
            return []
        return file.pread(file.size(), 0).decode().splitlines()

    def _file(self, path: str) -> File | None:
        """A file to write to; None if it is gone, which a later entry has seen to."""
        file = self._files.get(path)
        if file is None:
            try:
                file = self.disk.open(self.full_path(path))
            except FileNotFoundError:
                return None
            self._keep(path, file)
        self._files.move_to_end(path)
        return file

    def _keep(self, path: str, file: File) -> None:
        self._files[path] = file
        if len(self._files) > _OPEN_FILES:
            self._files.popitem(last=False)

    def _forget(self, path: str) -> None:
        self._files.pop(path, None)

    def _unlink(self, path: str) -> None:
        self._forget(path)
        with suppress(FileNotFoundError):  # it had gone before this start
            self.disk.unlink(self.full_path(path))

    # How far

    def save(self) -> None:
        """Note how far the files are, for the next process. Raises OSError."""
        self._write_marker(*min([(self.applied, self.epoch), *self._unfinished.values()]))

    def sync(self) -> None:
        """Have all of it survive a power cut, which only a clean stop is worth. Raises OSError."""
        for path in self.paths():
            self.disk.open(self.full_path(path)).fsync()
        for directory in ("", *(f"/{each}" for each in DIRECTORIES)):
            self.disk.fsync_directory(f"{self.directory}{directory}")
        if not self._unfinished:
            self._safe = (self.applied, self.epoch)
        self.save()
        assert self._marker is not None
        self._marker.fsync()

    def begin(self, last: int) -> None:
        """Take over what an earlier process has left in the directory, as far as it is of use.

        Args:
            last: where the log ends.

        Raises:
            OSError: the disk refuses.
        """
        for directory in ("", *(f"/{each}" for each in DIRECTORIES)):
            self.disk.make_directory(f"{self.directory}{directory}")
        found = self._read_marker()
        place = found.applied if found.boot == self._boot else found.safe
        if found.identity and (found.identity != self._identity or place[0] > last):
            # Somebody was told that what is in these files is safe. That the log has lost it is for people to judge.
            aside = self._set_aside()
            log.error("the log of %s is another one, or has lost its end; files kept in %s", self.directory, aside)
            place = _NOWHERE
        if place == _NOWHERE:
            for path in (*self.paths(), MANIFEST):
                self._unlink(path)
        self.applied, self.epoch = place
        self._safe = found.safe if place != _NOWHERE else _NOWHERE
        self.save()

    def _write_marker(self, number: int, epoch: int) -> None:
        identity, boot = self._identity.encode(), self._boot.encode()
        data = _MARKER_HEAD.pack(_MAGIC, *self._safe, number, epoch, len(identity), len(boot)) + identity + boot
        if self._marker is None:
            self._marker = self.disk.create(self.full_path(_MARKER))
        self._marker.pwrite(data + value(data).to_bytes(4, "big"), 0)

    def _read_marker(self) -> _Marker:
        nothing = _Marker("", _NOWHERE, _NOWHERE, "")
        try:
            file = self.disk.open_for_reading(self.full_path(_MARKER))
        except FileNotFoundError:
            return nothing
        data = file.pread(file.size(), 0)
        if len(data) < _MARKER_HEAD.size:
            return nothing
        magic, safe, its_epoch, applied, epoch, identity_octets, boot_octets = _MARKER_HEAD.unpack_from(data)
        middle = _MARKER_HEAD.size + identity_octets
        end = middle + boot_octets
        if magic != _MAGIC or data[end : end + 4] != value(data[:end]).to_bytes(4, "big"):
            return nothing
        identity, boot = data[_MARKER_HEAD.size : middle].decode(), data[middle:end].decode()
        return _Marker(identity, (safe, its_epoch), (applied, epoch), boot)

    def _set_aside(self) -> str:
        """Move all files out of the way; gives where they are."""
        number = 1
        while any(self.disk.names(f"{self.directory}.lost-{number}/{each}") for each in DIRECTORIES):
            number += 1
        aside = f"{self.directory}.lost-{number}"
        for directory in ("", *(f"/{each}" for each in DIRECTORIES)):
            self.disk.make_directory(f"{aside}{directory}")
        for path in self.paths():
            self.disk.rename(self.full_path(path), f"{aside}/{path}")
        return aside


def _is_whole(name: str) -> bool:
    return not name.endswith(".part")
