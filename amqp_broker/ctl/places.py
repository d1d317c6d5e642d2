"""Where a broker has its control socket.

In its data directory; one that keeps everything in memory has none, and its socket is in the user's runtime
directory, named after its port. The path of a Unix socket can't be long (108 octets on Linux, less elsewhere):
where that of the data directory would be, the socket is in the runtime directory too, named after a hash.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SOCKET_NAME: Final = "control.sock"
LONGEST_PATH: Final = 100


def default_data_directory() -> Path:
    """Where programs of this user keep their data: by the XDG specification, or what Apple and Microsoft say."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "amqp-broker"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "amqp-broker"
    given = os.environ.get("XDG_DATA_HOME", "")
    # By the specification a path that is not absolute is to be ignored.
    return (Path(given) if Path(given).is_absolute() else Path.home() / ".local" / "share") / "amqp-broker"


def runtime_directory() -> Path:
    """The user's own; where the system gives none, one in /tmp, which `make_private` keeps others out of."""
    given = os.environ.get("XDG_RUNTIME_DIR")
    return Path(given) / "amqp-broker" if given else Path(f"/tmp/amqp-broker-{os.geteuid()}")


def socket_of_directory(directory: Path) -> Path:
    """The socket of the broker that has a data directory."""
    path = directory.absolute() / SOCKET_NAME
    if len(os.fsencode(path)) <= LONGEST_PATH:
        return path
    import hashlib  # slow to import, and seldom needed

    digest = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:16]
    return runtime_directory() / f"{digest}.sock"


def socket_of_port(port: int) -> Path:
    """The socket of a broker without data directory, by its first port."""
    return runtime_directory() / f"{port}.sock"


def make_private(directory: Path) -> None:
    """Make a directory that is ours alone. Raises PermissionError when it is there and others may write to it."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_uid != os.geteuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise PermissionError(f"{directory} is writable by others")


def candidates() -> Iterator[Path]:
    """Where to look: in the data directory of the environment, and there only, for another broker is not meant.

    When nobody says: in the default data directory, then for whatever is in the runtime directory.
    """
    directory = os.environ.get("RABBITMQ_MNESIA_DIR") or os.environ.get("AMQP_BROKER_DATA_DIR")
    if directory and directory != "none":
        yield socket_of_directory(Path(directory))
        return
    if not directory:
        yield socket_of_directory(default_data_directory())
    found = [(path.stat().st_mtime, path) for path in runtime_directory().glob("*.sock")]
    yield from (path for _, path in sorted(found, reverse=True))
