"""What a cluster asks of the engine that replicates: a log for each vhost, and one table of keys with revisions.

Decides nothing and knows no engine; `nats` is one, tests bring their own. All methods block and belong to threads that
are not the event loop's.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

ENTRY_OCTETS: Final = 512 << 10
"""No entry is longer: half of what a NATS server takes by default."""

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Entry(NamedTuple):
    """What is appended as one.

    Attributes:
        subject: of which of the log's things it speaks: letters, digits, `-`, `_`, `/` and `=`, nothing else.
        data: at most `ENTRY_OCTETS`.
    """

    subject: str
    data: bytes


class LogUnavailable(OSError):
    """No connection, no quorum, or no answer in time: it may have happened, or may happen yet, or not."""


class NotConnected(LogUnavailable):
    """There is no connection, or it broke before the answer came; which says nothing of what was asked."""


class OutOfTurn(Exception):
    """The log did not end where it was expected to: the caller's own doubtful entries are there, or somebody else's."""


class Deposed(Exception):
    """Somebody else has taken the vhost over: nothing more is appended here, and nothing confirmed."""


class Log(Protocol):
    """One vhost's log. Sequences count from 1; what is purged leaves gaps and never changes the last.

    Attributes:
        identity: tells this log from any other, before or after it, of the same vhost.
    """

    @property
    def identity(self) -> str: ...

    def claim(self, applied: int) -> None:
        """Be the only one who appends from now on; what was appended before is all there is to be read then.

        Args:
            applied: up to where the caller has it.

        Raises:
            LogUnavailable: it may be tried again.
        """

    def append(self, entries: Sequence[Entry], expected: int) -> int:
        """Append all of them, in order and with nothing between them, after the entry `expected`.

        Returns:
            The sequence of the last, once a quorum has all of them on disk: `expected + len(entries)`.

        Raises:
            OutOfTurn: the log's last entry was another. The first few of these may have been appended.
            LogUnavailable: any number of them, from the first on, may have been appended, or may be yet.
            Deposed: somebody else has claimed it.
        """

    def look_after(self) -> bool:
        """See to it that the log survives the death of servers, and give whether it does; for the owner, now and then.

        What was in doubt may be appended by that.

        Raises:
            Deposed: somebody else has claimed it.
            LogUnavailable: at present it does not answer.
        """

    def read(self, after: int, wait_s: float) -> list[tuple[int, Entry]]:
        """Read what follows a sequence, in order and only what a quorum has; some of it, or wait for it so long.

        Raises:
            LogUnavailable: nobody to read from.
        """

    def interrupt(self) -> None:
        """Have a read that waits, in another thread, return at once."""

    def last(self) -> int:
        """The sequence of the last entry, purged or not; 0 in a new log. Raises LogUnavailable, Deposed."""

    def subjects(self) -> dict[str, int]:
        """The subjects that have entries, and how many. Raises LogUnavailable."""

    def purge(self, subject: str, before: int) -> None:
        """Forget the entries of a subject that come before a sequence. Raises LogUnavailable."""


class Conflict(Exception):
    """A key is not what it was taken for: it is there already, gone, or has another revision."""


Watcher = Callable[[str, bytes | None, int], None]
"""Told of a key, its value (None: deleted) and its revision."""


class KeyValue(Protocol):
    """One table for all brokers of a cluster.

    Revisions are positive, grow with every change of any key, and are never used twice. Keys are made of letters,
    digits, `-`, `_`, `=`, `/` and dots, with no two dots in a row and none at an end.
    """

    def put(self, key: str, value: bytes) -> int:
        """Set a key whatever it was; gives its revision. Raises LogUnavailable."""

    def create(self, key: str, value: bytes) -> int:
        """Set a key that is not there or deleted; gives its revision. Raises Conflict, LogUnavailable."""

    def update(self, key: str, value: bytes, revision: int) -> int:
        """Set a key that has this revision; gives its new one. Raises Conflict, LogUnavailable."""

    def delete(self, key: str, revision: int | None = None) -> int:
        """Delete a key, if it has this revision where one is given; gives that of its absence.

        Raises Conflict, LogUnavailable.
        """

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Have somebody told of every key as it is, then of every change, in a thread of the engine's; gives the end.

        Each key's changes come in order; one that is overtaken by the next may be left out. After a lost connection
        every key may be told again.
        """


def vhost_key(name: str) -> str:
    """A short name of a vhost for keys, logs and directories: its own if that will do, or else a hash of it."""
    if _PLAIN.fullmatch(name):
        return f"v-{name}"
    return f"h-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}"
