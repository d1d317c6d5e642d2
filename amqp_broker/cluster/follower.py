"""A standby: it follows a vhost's log and carries it out on its local copy, so that it can take over at once."""

from __future__ import annotations

import logging
from threading import Event, Thread
from typing import Final

from amqp_broker.cluster.copy import Copy
from amqp_broker.cluster.log import Log, LogUnavailable

log = logging.getLogger(__name__)

WAIT_S: Final = 1.0
"""How long to ask for news before looking whether to stop."""

RETRY_S: Final = 1.0

GATHER_S: Final = 0.1
"""How long entries gather before they are carried out together: standbys share machines with owners."""


class Follower:
    """Follows one log.

    Attributes:
        copy: what it writes; others may look at `copy.applied`, and have the rest once it has stopped.
        error: what keeps it from following; None while all is well.
    """

    def __init__(self, log: Log, copy: Copy) -> None:
        self.copy = copy
        self.error: Exception | None = None
        self._log = log
        self._stop = Event()
        self._thread: Thread | None = None

    def step(self, wait_s: float) -> int:
        """Carry out what has come, or wait for it so long; gives how many entries that was.

        Raises:
            LogUnavailable: nobody to read from.
            OSError: the disk refuses.
            UnknownFormat: a later version of the broker is the owner.
        """
        entries = self._log.read(self.copy.applied, wait_s)
        for sequence, entry in entries:
            self.copy.apply(sequence, entry)
        if entries:
            self.copy.save()
        return len(entries)

    def start(self) -> None:
        """Follow in a thread, until `stop`."""
        self._stop.clear()
        self._thread = Thread(target=self._run, name="follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for that."""
        self._stop.set()
        self._log.interrupt()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                if self.step(WAIT_S):
                    self._stop.wait(GATHER_S)
                error = None
            except Exception as refusal:  # whatever it is, to try again is all that can be done
                error = refusal
            if error is not None and (self.error is None or str(error) != str(self.error)):
                say = log.warning if isinstance(error, LogUnavailable) else log.error
                say("%s can't be kept up to date, to be tried again: %s", self.copy.directory, error)
            elif error is None and self.error is not None:
                log.info("%s is kept up to date again", self.copy.directory)
            self.error = error
            if error is not None:
                self._stop.wait(RETRY_S)
