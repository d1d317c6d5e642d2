"""One broker to a data directory: a lock the operating system drops when the process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType

from amqp_broker.storage.errors import DataDirInUse

if sys.platform == "win32":
    import msvcrt

    # Not octet 0: a locked octet can't be read on Windows, and the pid should be.
    def _take(descriptor: int) -> None:
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class DirectoryLock:
    """Holds a data directory, which is made if need be.

    The file stays when the lock goes: to unlink it would let two brokers hold two files of one name.

    Raises:
        DataDirInUse: another process (or another lock in this one) holds it.
    """

    def __init__(self, directory: str) -> None:
        Path(directory).mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(Path(directory) / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _take(self._descriptor)
        except OSError:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise DataDirInUse(directory, holder) from None
        os.ftruncate(self._descriptor, 0)
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> DirectoryLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
