"""Our broker as its users start it: the executable in a process of its own, on a port the system picks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from interop.processes import DEADLINE_S, STOP_DEADLINE_S, LineProcess, running_python


class OwnBroker:
    """A broker that is ready.

    Attributes:
        url: where its clients find it.
        management_url: where its management API is, with name and password.
        ready_s: from the start of the process to the line `ready`: Python's own start and recovery.
    """

    def __init__(self, process: LineProcess, deadline_s: float) -> None:
        self._process = process
        started_at = time.monotonic()
        _, self.url, *http_urls = process.wait_line("ready ", deadline_s=deadline_s).split()
        self.management_url = next((url.replace("//", "//guest:guest@") for url in http_urls), "")
        self.ready_s = time.monotonic() - started_at

    @property
    def login_url(self) -> str:
        """The URL with name and password, which some clients want to be told."""
        return self.url.replace("//", "//guest:guest@")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> list[str]:
        """What it has logged up to now; all of it once it has ended."""
        return self._process.errors

    def kill(self) -> None:
        """SIGKILL: it ends in the middle of whatever it does.

        Raises:
            AssertionError: it has logged a traceback before.
        """
        self._process.kill()
        self._check_log()

    def stop(self, *, deadline_s: float = STOP_DEADLINE_S) -> None:
        """SIGTERM: it ends in order.

        Raises:
            ProcessError: it did not end in time.
            AssertionError: it did not end with status 0, or logged a traceback: a bug of ours, whatever clients did.
        """
        status = self._process.stop(deadline_s=deadline_s)
        assert status == 0, "\n".join([f"exit status {status} after SIGTERM", *self.log])
        self._check_log()

    def _check_log(self) -> None:
        assert not any("Traceback" in line for line in self.log), "\n".join(self.log)


@contextlib.contextmanager
def started_broker(*options: str, deadline_s: float = DEADLINE_S) -> Iterator[OwnBroker]:
    """A broker whose end is the caller's business; what is still there in the end is killed.

    Args:
        options: of the command line, behind `--port 0`.
        deadline_s: for recovery.

    Raises:
        ProcessError: it did not get ready.
    """
    with running_python("-m", "amqp_broker", "--port", "0", *options) as process:
        yield OwnBroker(process, deadline_s)


@contextlib.contextmanager
def running_own_broker(*options: str) -> Iterator[str]:
    """The AMQP URL of a broker that keeps nothing on disk; a clean SIGTERM is part of what is tested.

    Args:
        options: more command line options, for instance `--data-dir`.

    Raises:
        ProcessError: it did not get ready, or did not end in time.
        AssertionError: it did not end with status 0, or logged a traceback: a bug of ours, whatever the client did.
    """
    with started_broker(*(options or ["--memory"])) as broker:
        yield broker.url
        broker.stop()
