"""A child process whose output is read line by line, with a deadline on every wait.

Readiness is a line of output, never a sleep. A child is ended through its handle only, and `stop` always
reaps it: first by the signal asked for, after the deadline by SIGKILL to the session it was started in.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent

DEADLINE_S = 20.0
"""For a child to say what it is expected to say; generous, as it only decides how long a failure takes."""

STOP_DEADLINE_S = 5.0


class ProcessError(Exception):
    """A child ended, or kept silent, where a line was expected; the text carries all it has written."""


def python_environment() -> dict[str, str]:
    """The environment for a Python child: a bare checkout is importable, output is not held back."""
    env = dict(os.environ)
    path = [str(ROOT), str(ROOT / "codec"), env.get("PYTHONPATH", "")]
    env["PYTHONPATH"] = os.pathsep.join(part for part in path if part)
    env["PYTHONUNBUFFERED"] = "1"
    return env


class LineProcess:
    """A running child and the lines it has written.

    Attributes:
        lines: what it wrote to standard output up to now, without line ends.
        errors: the same for standard error.
    """

    def __init__(self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path = ROOT) -> None:
        self.name = " ".join(Path(arg).name if arg.startswith("/") else arg for arg in argv)
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._unread: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            argv,
            env=env,
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # a Ctrl-C is ours to pass on, and kill() reaches grandchildren
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._stdin: IO[str] = self._process.stdin
        self._readers = [
            threading.Thread(target=self._read_output, args=[self._process.stdout], daemon=True),
            threading.Thread(target=self._read_errors, args=[self._process.stderr], daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def _read_output(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.lines.append(line.rstrip("\n"))
                self._unread.put(line.rstrip("\n"))
        self._unread.put(None)

    def _read_errors(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.errors.append(line.rstrip("\n"))

    def wait_line(self, prefix: str = "", *, deadline_s: float = DEADLINE_S) -> str:
        """The next line of output which begins with `prefix`; lines before it are passed over.

        Raises:
            ProcessError: the output ended, or the deadline passed, before such a line.
        """
        ends_at = time.monotonic() + deadline_s
        while True:
            try:
                line = self._unread.get(timeout=max(0.0, ends_at - time.monotonic()))
            except queue.Empty:
                raise self._error(f"wrote no line {prefix!r} within {deadline_s:g} s") from None
            if line is None:
                self._unread.put(None)
                raise self._error(f"ended before a line {prefix!r}")
            if line.startswith(prefix):
                return line

    def write_line(self, text: str = "") -> None:
        self._stdin.write(text + "\n")
        self._stdin.flush()

    def wait_exit(self, *, deadline_s: float = DEADLINE_S) -> int:
        """The exit status, once the child has ended by itself and all its output is in `lines`."""
        try:
            status = self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise self._error(f"did not end within {deadline_s:g} s") from None
        self._finish()
        return status

    def stop(self, with_signal: signal.Signals = signal.SIGTERM, *, deadline_s: float = STOP_DEADLINE_S) -> int:
        """Ask the child to end and return its exit status; after the deadline kill its session and raise."""
        if self._process.poll() is None:
            self._process.send_signal(with_signal)
        try:
            return self.wait_exit(deadline_s=deadline_s)
        except ProcessError:
            self.kill()
            raise

    def kill(self) -> None:
        """End the child, and what it started in its session, without asking. Harmless when it has ended."""
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_DEADLINE_S)
        self._finish()

    def _finish(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        for reader in self._readers:
            reader.join(STOP_DEADLINE_S)

    def _error(self, what: str) -> ProcessError:
        written = [f"  {line}" for line in self.lines] + [f"  ! {line}" for line in self.errors]
        return ProcessError("\n".join([f"{self.name}: {what}", *written]))


@contextlib.contextmanager
def running_python(*argv: str, env: Mapping[str, str] | None = None) -> Iterator[LineProcess]:
    """A child of this interpreter from the project's root; killed at the end if it is still there."""
    process = LineProcess([sys.executable, *argv], env={**python_environment(), **(env or {})})
    try:
        yield process
    finally:
        process.kill()
