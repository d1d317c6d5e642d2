"""A disk that forgets and refuses as real ones do. A seed gives the same misfortune again.

What was written since a file's last fsync is kept or lost by blocks, and may be cut within one. What was done to a
directory since its last fsync is kept or lost name by name. An fsync that fails drops what it should have written:
a later one that succeeds says nothing about it.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from random import Random

BLOCK = 512
"""Small, so that small tests meet many of them."""


class Crashed(BaseException):
    """The power is gone: not an `OSError`, for nobody may handle it."""


class _Inode:
    def __init__(self) -> None:
        self.safe = b""
        self.current = bytearray()
        self.dirty: set[int] = set()
        self.forgotten: set[int] = set()  # dirty no more, but never written either

    def write(self, data: bytes | bytearray, offset: int) -> None:
        if offset > len(self.current):
            self.current.extend(bytes(offset - len(self.current)))
        self.current[offset : offset + len(data)] = data
        blocks = range(offset // BLOCK, (offset + len(data) + BLOCK - 1) // BLOCK)
        self.dirty.update(blocks)
        self.forgotten.difference_update(blocks)

    def sync(self) -> None:
        merged = bytearray(self.current)
        for block in self.forgotten:
            start = min(block * BLOCK, len(merged))
            end = min(start + BLOCK, len(merged))
            old = self.safe[start:end]
            merged[start:end] = old + bytes(end - start - len(old))
        self.safe = bytes(merged)
        self.dirty.clear()

    def after_crash(self, random: Random) -> bytes:
        """Some of the dirty blocks reached the disk, one of them perhaps in part."""
        if not self.dirty and len(self.safe) == len(self.current):
            return self.safe
        size = random.choice((len(self.safe), len(self.current)))
        if random.random() < 0.5:
            low, high = sorted((len(self.safe), len(self.current)))
            size = random.randint(low, high)
        result = bytearray(self.safe[:size])
        result.extend(bytes(size - len(result)))
        chance = random.choice((0.0, 0.5, 0.9, 1.0))
        for block in sorted(self.dirty):
            start, end = block * BLOCK, min((block + 1) * BLOCK, size, len(self.current))
            if start < end and random.random() < chance:
                if random.random() < 0.1:
                    end = random.randint(start, end)
                result[start:end] = self.current[start:end]
        return bytes(result)


class SimulatedFile:
    def __init__(self, disk: SimulatedDisk, inode: _Inode, path: str) -> None:
        self._disk = disk
        self._inode = inode
        self._path = path

    def pread(self, octets: int, offset: int) -> bytes:
        self._disk.step("pread", self._path)
        return bytes(self._inode.current[offset : offset + octets])

    def pread_now(self, octets: int, offset: int) -> bytes:
        if self._disk.random.random() < self._disk.cold:
            raise BlockingIOError
        data = self.pread(octets, offset)
        is_warm = self._disk.random.random() >= self._disk.cold
        return data if is_warm else data[: self._disk.random.randint(1, len(data))]

    def prefetch(self, octets: int, offset: int) -> None:
        """It helps or it doesn't."""

    def pwrite(self, data: bytes | bytearray, offset: int) -> None:
        try:
            self._disk.step("pwrite", self._path)
            self._disk.make_room(max(0, offset + len(data) - len(self._inode.current)))
        except (OSError, Crashed):
            self._inode.write(data[: self._disk.random.randint(0, len(data))], offset)
            raise
        self._inode.write(data, offset)

    def fsync(self) -> None:
        try:
            self._disk.step("fsync", self._path)
        except OSError:
            self._inode.forgotten |= self._inode.dirty
            self._inode.dirty.clear()
            raise
        self._inode.sync()

    def truncate(self, octets: int) -> None:
        self._disk.step("truncate", self._path)
        del self._inode.current[octets:]
        self._inode.dirty.add(octets // BLOCK)

    def size(self) -> int:
        return len(self._inode.current)

    def close(self) -> None:
        """Nothing is held."""


class SimulatedDisk:
    """A `Disk` in memory.

    Attributes:
        random: decides what is lost.
        fault: asked before each call with its name and path; what it returns is raised.
        crash_at: the call, counted in `calls`, at which the power goes; none if negative.
        capacity: octets all files together may have.
        cold: share of reads whose octets are not in memory.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.fault: Callable[[str, str], BaseException | None] = lambda _call, _path: None
        self.calls = 0
        self.crash_at = -1
        self.capacity = 1 << 40
        self.cold = 0.0
        self._safe: dict[str, _Inode] = {}
        self._current: dict[str, _Inode] = {}
        self._unsynced: list[tuple[str, list[tuple[str, _Inode | None]]]] = []  # directory, [(path, what it is now)]

    def step(self, call: str, path: str) -> None:
        self.calls += 1
        if self.calls == self.crash_at:
            raise Crashed
        if error := self.fault(call, path):
            raise error

    def make_room(self, octets: int) -> None:
        if sum(len(inode.current) for inode in self._current.values()) + octets > self.capacity:
            raise OSError(errno.ENOSPC, "No space left on device")

    def free_octets(self, path: str) -> int:
        return self.capacity - sum(len(inode.current) for inode in self._current.values())

    def create(self, path: str) -> SimulatedFile:
        self.step("create", path)
        self.make_room(1)
        if path not in self._current:
            inode = self._current[path] = _Inode()
            self._note([(path, inode)])
        inode = self._current[path]
        inode.dirty.update(range((len(inode.current) + BLOCK - 1) // BLOCK))
        inode.current.clear()
        inode.forgotten.clear()
        return SimulatedFile(self, inode, path)

    def open(self, path: str) -> SimulatedFile:
        self.step("open", path)
        return SimulatedFile(self, self._inode(path), path)

    def open_for_reading(self, path: str) -> SimulatedFile:
        return self.open(path)

    def names(self, directory: str) -> list[str]:
        prefix = f"{directory}/"
        names = (path.removeprefix(prefix) for path in self._current if path.startswith(prefix))
        return sorted(name for name in names if "/" not in name)

    def exists(self, path: str) -> bool:
        return path in self._current

    def make_directory(self, path: str) -> None:
        """Directories are only names here."""

    def rename(self, source: str, target: str) -> None:
        self.step("rename", source)
        inode = self._inode(source)
        del self._current[source]
        self._current[target] = inode
        self._note([(source, None), (target, inode)])

    def unlink(self, path: str) -> None:
        self.step("unlink", path)
        self._inode(path)
        del self._current[path]
        self._note([(path, None)])

    def fsync_directory(self, path: str) -> None:
        self.step("fsync_directory", path)
        kept = []
        for directory, changes in self._unsynced:
            if directory == path:
                self._apply(self._safe, changes)
            else:
                kept.append((directory, changes))
        self._unsynced = kept

    def crash(self) -> SimulatedDisk:
        """Return the disk a new boot finds."""
        names = dict(self._safe)
        for _, changes in self._unsynced:
            if self.random.random() < 0.5:
                self._apply(names, changes)
        after = SimulatedDisk(self.random)
        after.capacity = self.capacity
        after.cold = self.cold
        contents: dict[_Inode, bytes] = {}
        for path, inode in names.items():
            if inode not in contents:
                contents[inode] = inode.after_crash(self.random)
            after.put(path, contents[inode])
        return after

    def put(self, path: str, data: bytes) -> None:
        """Place a file that is safe."""
        inode = _Inode()
        inode.safe = data
        inode.current = bytearray(data)
        self._safe[path] = self._current[path] = inode

    def get(self, path: str) -> bytes:
        return bytes(self._inode(path).current)

    def paths(self) -> list[str]:
        return sorted(self._current)

    def copy(self) -> SimulatedDisk:
        """Return another disk with the same files, all of them safe."""
        other = SimulatedDisk(self.random)
        other.cold = self.cold
        for path, inode in self._current.items():
            other.put(path, bytes(inode.current))
        return other

    def _inode(self, path: str) -> _Inode:
        try:
            return self._current[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path) from None

    def _note(self, changes: list[tuple[str, _Inode | None]]) -> None:
        self._unsynced.append((changes[-1][0].rpartition("/")[0], changes))

    @staticmethod
    def _apply(names: dict[str, _Inode], changes: list[tuple[str, _Inode | None]]) -> None:
        for path, inode in changes:
            if inode is None:
                names.pop(path, None)
            else:
                names[path] = inode
