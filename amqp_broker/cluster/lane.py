"""One lane of a vhost's log: what it can do, and what its entries say before their data."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, Protocol

import attrs

from amqp_broker.cluster.log import Entry
from amqp_broker.storage.errors import UnknownFormat

VERSION: Final = 1

MARK_SUBJECT: Final = "mark"
"""Of entries that say something of their lane, and have no index of their own."""

LANES: Final = 3
"""At most: with as many servers, each leads one."""

_HEAD = Struct(f">BBHQQQ{LANES}Q")  # version, flags, closed lanes, ballot, its nonce, index, ends
_IS_MARK: Final = 1


class Lane(Protocol):
    """One of several. As `Log` has it, but that its last entry is never purged, and is what `tail` gives."""

    @property
    def identity(self) -> str: ...

    def append(self, entries: Sequence[Entry], expected: int) -> int: ...

    def read(self, after: int, wait_s: float) -> list[tuple[int, Entry]]: ...

    def interrupt(self) -> None: ...

    def subjects(self) -> dict[str, int]: ...

    def purge(self, subject: str, before: int) -> None: ...

    def tail(self) -> tuple[int, Entry | None]:
        """The last sequence, and the entry that has it; None if nothing is left of the lane. Raises LogUnavailable."""

    def peek(self, after: int) -> tuple[int, Entry] | None:
        """The first entry behind a sequence, if there is one. Raises LogUnavailable."""

    def leader(self) -> str:
        """The server that leads it, empty where there is but one. Raises LogUnavailable."""

    def is_near(self) -> bool:
        """Whether that server, as `leader` gave it last, is the one that we speak to."""

    def move_leader(self, away_from: set[str]) -> None:
        """Have another server than these lead it, if there is one fit for that. Raises LogUnavailable."""


@attrs.frozen
class Head:
    """What stands before an entry's data.

    Attributes:
        ballot: whose it is.
        index: its own; of a mark, the last that its author knew of.
        ends: sequences in all lanes up to which there may be something with an index below.
        closed: lanes that are, a bit each; all that ever was sent there has an index up to this.
        is_mark: it has no index.
    """

    ballot: tuple[int, int]
    index: int
    ends: tuple[int, ...]
    closed: int
    is_mark: bool

    def encode(self) -> bytes:
        ends = (*self.ends, *(0,) * (LANES - len(self.ends)))
        return _HEAD.pack(VERSION, self.is_mark, self.closed, *self.ballot, self.index, *ends)


NO_HEAD: Final = Head((0, 0), 0, (0,) * LANES, 0, is_mark=True)


def head_of(entry: Entry) -> Head:
    """Raises UnknownFormat: a later version of the broker wrote it."""
    version, flags, closed, number, nonce, index, *ends = _HEAD.unpack_from(entry.data)
    if version != VERSION:
        raise UnknownFormat("an entry of a lane", version)
    return Head((number, nonce), index, tuple(ends), closed, bool(flags & _IS_MARK))


def bare(entry: Entry) -> Entry:
    """An entry as it was before it got a head."""
    return Entry(entry.subject, entry.data[_HEAD.size :])
