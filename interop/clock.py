"""Wall clocks of programs' own, which can be hours off, and jump: `clock.c`, loaded before libc; steady clocks go on.

What does not ask libc for the time is not deceived: no program in Go is. Debian's libfaketime does the same, and more:
with it a turn of a thread of trio's takes 6 to 14 ms and not 0.1 (version 0.9.10, Python 3.11).
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from struct import Struct

SOURCE = Path(__file__).with_name("clock.c")
COMPILE_S = 60.0

_OFF = Struct("=q")


class ClockError(Exception):
    """No program can be deceived here; the text says why."""


class Clock:
    """A program's, which is to be started with `environment`.

    Args:
        library: see `build`.
        file: tells it how much it is off.
        off_s: how much it is at first, in seconds.
    """

    def __init__(self, library: Path, file: Path, off_s: int) -> None:
        self.environment: Mapping[str, str] = {"LD_PRELOAD": str(library), "CLOCK_OFF_FILE": str(file)}
        self._file = file
        file.write_bytes(_OFF.pack(off_s))

    def set(self, off_s: int) -> None:
        """Have it be so many seconds off from now on."""
        with self._file.open("r+b", buffering=0) as file:
            os.pwrite(file.fileno(), _OFF.pack(off_s), 0)


def build(directory: Path) -> Path:
    """Make the library. Raises ClockError."""
    library = directory / "clock.so"
    call = ["cc", "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    try:
        subprocess.run(call, check=True, capture_output=True, text=True, timeout=COMPILE_S)
    except subprocess.CalledProcessError as error:
        raise ClockError(f"cc: {error.stderr.strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClockError(str(error)) from None
    return library
