"""A program whose disk is slow: each fsync takes so much longer, by strace, which also stops it at all other calls.

For Linux with strace, where programs may be traced; works on programs in Go as well.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator, Sequence

CALLS = "fsync,fdatasync"
CHECK_S = 10.0


class SlowDiskError(Exception):
    """There is no strace here, or it may not trace; the text says why."""


def check() -> None:
    """Try it. Raises SlowDiskError."""
    try:
        subprocess.run([*_strace(0.001), "true"], capture_output=True, text=True, timeout=CHECK_S, check=True)
    except subprocess.CalledProcessError as error:
        raise SlowDiskError(str(error.stderr).strip().partition("\n")[0] or str(error)) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SlowDiskError(str(error)) from None


@contextlib.contextmanager
def slow_disk(pid: int, delay_s: float) -> Iterator[None]:
    """Have each fsync of a process take so much longer."""
    with subprocess.Popen([*_strace(delay_s), "-p", str(pid)], stderr=subprocess.DEVNULL) as tracer:
        try:
            yield
        finally:
            tracer.terminate()  # it lets go of the process, which goes on


def _strace(delay_s: float) -> Sequence[str]:
    delay = f"inject={CALLS}:delay_enter={int(1e6 * delay_s)}"
    return ["strace", "-f", "-q", "-o", "/dev/null", "-e", f"trace={CALLS}", "-e", delay]
