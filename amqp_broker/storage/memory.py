"""Streams where there is no data directory: in files of memory, written at once."""

from __future__ import annotations

import errno

from amqp_broker.storage.settings import JournalSettings
from amqp_broker.storage.streams import Streams


class MemoryFile:
    """Octets that grow."""

    def __init__(self) -> None:
        self._octets = bytearray()

    def pread(self, octets: int, offset: int) -> bytes:
        return bytes(self._octets[offset : offset + octets])

    def pread_now(self, octets: int, offset: int) -> bytes:
        return self.pread(octets, offset)

    def prefetch(self, octets: int, offset: int) -> None:
        """It is in memory."""

    def pwrite(self, data: bytes | bytearray, offset: int) -> None:
        self._octets.extend(bytes(max(0, offset - len(self._octets))))
        self._octets[offset : offset + len(data)] = data

    def fsync(self) -> None:
        """There is nothing safer than this."""

    def truncate(self, octets: int) -> None:
        del self._octets[octets:]

    def size(self) -> int:
        return len(self._octets)

    def close(self) -> None:
        """Nothing is held."""


class MemoryDisk:
    """Files by path; folders are not needed. See `Disk`."""

    def __init__(self) -> None:
        self._files: dict[str, MemoryFile] = {}

    def create(self, path: str) -> MemoryFile:
        file = self._files[path] = MemoryFile()
        return file

    def open(self, path: str) -> MemoryFile:
        try:
            return self._files[path]
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory", path) from None

    def open_for_reading(self, path: str) -> MemoryFile:
        return self.open(path)

    def names(self, directory: str) -> list[str]:
        prefix = f"{directory}/"
        return sorted(path.removeprefix(prefix) for path in self._files if path.startswith(prefix))

    def exists(self, path: str) -> bool:
        return path in self._files

    def make_directory(self, path: str) -> None:
        """None is needed."""

    def rename(self, source: str, target: str) -> None:
        self._files[target] = self._files.pop(source)

    def unlink(self, path: str) -> None:
        self.open(path)
        del self._files[path]

    def fsync_directory(self, path: str) -> None:
        """There is nothing safer than this."""

    def free_octets(self, path: str) -> int:  # noqa: ARG002 - what is free is free for all
        return 1 << 62


class MemoryStreams(Streams):
    """Streams that are written at once, for there is nothing to wait for."""

    def __init__(self) -> None:
        super().__init__(MemoryDisk(), "", bytes(16), JournalSettings(sync="never", stream_cache_octets=1 << 20))
        self.on_work = self._write

    def _write(self) -> None:
        while (batch := self.take_batch()) is not None:
            batch.execute(self.disk)
            self.batch_done(batch, None)
