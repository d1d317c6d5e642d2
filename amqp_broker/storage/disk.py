"""The few file operations storage needs, in one place so that tests can put a faulty disk underneath.

Everything blocks and raises `OSError`. Writes are complete or raise; what a failed write left behind is unknown.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Protocol

if sys.platform == "darwin":
    import fcntl

_SEEKING = threading.Lock()
_NO_WAIT: int = getattr(os, "RWF_NOWAIT", 0)


class File(Protocol):
    """An open file. It closes itself when the last reference to it goes."""

    def pread(self, octets: int, offset: int) -> bytes:
        """Read up to `octets`; fewer only at the end of the file."""

    def pread_now(self, octets: int, offset: int) -> bytes:
        """Read what is in memory of so many octets, which may be less.

        Raises:
            BlockingIOError: nothing of it is: the disk would have to be waited for.
        """

    def prefetch(self, octets: int, offset: int) -> None:
        """Have the system read so many octets into its memory, if it can, without waiting for it."""

    def pwrite(self, data: bytes | bytearray, offset: int) -> None:
        """Write all of `data`."""

    def fsync(self) -> None:
        """Return once everything written to this file would survive a power cut."""

    def truncate(self, octets: int) -> None: ...

    def size(self) -> int: ...

    def close(self) -> None: ...


class Disk(Protocol):
    """A file system."""

    def create(self, path: str) -> File:
        """Open for reading and writing, empty, whether or not there was such a file."""

    def open(self, path: str) -> File:
        """Open an existing file for reading and writing."""

    def open_for_reading(self, path: str) -> File: ...

    def names(self, directory: str) -> list[str]:
        """Return the names in a directory, sorted; none if there is no such directory."""

    def exists(self, path: str) -> bool: ...

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents, unless it is there."""

    def rename(self, source: str, target: str) -> None:
        """Rename a file, replacing `target` in one step."""

    def unlink(self, path: str) -> None: ...

    def fsync_directory(self, path: str) -> None:
        """Return once the names in a directory would survive a power cut."""

    def free_octets(self, path: str) -> int: ...


class OsFile:
    """A file of the operating system."""

    def __init__(self, path: str, flags: int) -> None:
        flags |= getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        self._descriptor = os.open(path, flags, 0o600)

    def fileno(self) -> int:
        """The system's number of it."""
        return self._descriptor

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            self.close()

    if sys.platform == "win32":
        # No positioned reads and writes: seek and read as one step, for threads share the file.

        def pread(self, octets: int, offset: int) -> bytes:
            chunks: list[bytes] = []
            with _SEEKING:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                while octets and (data := os.read(self._descriptor, octets)):
                    octets -= len(data)
                    chunks.append(data)
            return b"".join(chunks)

        def pwrite(self, data: bytes | bytearray, offset: int) -> None:
            view = memoryview(data)
            with _SEEKING:
                os.lseek(self._descriptor, offset, os.SEEK_SET)
                while view:
                    view = view[os.write(self._descriptor, view) :]
    else:

        def pread(self, octets: int, offset: int) -> bytes:
            data = os.pread(self._descriptor, octets, offset)
            if len(data) == octets or not data:
                return data
            chunks = [data]
            while data and (octets := octets - len(data)):
                offset += len(data)
                data = os.pread(self._descriptor, octets, offset)
                chunks.append(data)
            return b"".join(chunks)

        def pwrite(self, data: bytes | bytearray, offset: int) -> None:
            view = memoryview(data)
            while view:
                written = os.pwrite(self._descriptor, view, offset)
                view = view[written:]
                offset += written

    def pread_now(self, octets: int, offset: int) -> bytes:
        if _NO_WAIT:
            buffer = bytearray(octets)
            try:
                count = os.preadv(self._descriptor, [buffer], offset, _NO_WAIT)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:
                    raise
            else:
                return bytes(memoryview(buffer)[:count])
        return self.pread(octets, offset)  # nothing here can tell

    def prefetch(self, octets: int, offset: int) -> None:
        if sys.platform == "linux":
            os.posix_fadvise(self._descriptor, offset, octets, os.POSIX_FADV_WILLNEED)

    def fsync(self) -> None:
        if sys.platform == "darwin":
            fcntl.fcntl(self._descriptor, fcntl.F_FULLFSYNC)  # fsync alone stops at the drive's cache there
        elif sys.platform == "linux":
            os.fdatasync(self._descriptor)  # the size goes along, the times don't
        else:
            os.fsync(self._descriptor)

    def truncate(self, octets: int) -> None:
        os.ftruncate(self._descriptor, octets)

    def size(self) -> int:
        return os.fstat(self._descriptor).st_size

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)


class OsDisk:
    """The disk of the operating system."""

    def create(self, path: str) -> OsFile:
        return OsFile(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC)

    def open(self, path: str) -> OsFile:
        return OsFile(path, os.O_RDWR)

    def open_for_reading(self, path: str) -> OsFile:
        return OsFile(path, os.O_RDONLY)

    def names(self, directory: str) -> list[str]:
        try:
            return sorted(os.listdir(directory))
        except FileNotFoundError:
            return []

    def exists(self, path: str) -> bool:
        return Path(path).exists()

    def make_directory(self, path: str) -> None:
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def fsync_directory(self, path: str) -> None:
        if sys.platform == "win32":
            return  # a directory can't be opened there; NTFS journals its names
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def free_octets(self, path: str) -> int:
        return shutil.disk_usage(path).free
