"""Our broker as its users start it: the executable in a process of its own, on a port the system picks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from interop.processes import running_python


@contextlib.contextmanager
def running_own_broker(*options: str) -> Iterator[str]:
    """The AMQP URL of a broker that keeps nothing on disk; a clean SIGTERM is part of what is tested.

    Args:
        options: more command line options, for instance `--data-dir`.

    Raises:
        ProcessError: it did not get ready, or did not end in time.
        AssertionError: it did not end with status 0, or logged a traceback: a bug of ours, whatever the client did.
    """
    with running_python("-m", "amqp_broker", "--port", "0", *(options or ["--memory"])) as process:
        ready = process.wait_line("ready ")
        yield ready.split()[1]
        status = process.stop()
        log = "\n".join(process.errors)
        assert status == 0, f"exit status {status} after SIGTERM\n{log}"
        assert "Traceback" not in log, log
