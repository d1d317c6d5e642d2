"""A log that loses, delays and repeats what it is sent, and a table of keys that does. A seed does it again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from random import Random

import attrs

from amqp_broker.cluster.log import Conflict, Entry, LogUnavailable, NotConnected, OutOfTurn, Watcher


@attrs.define
class Weather:
    """How often what goes wrong, from 0 to 1.

    Attributes:
        lost: a request never arrives.
        unanswered: it arrives, and the answer is lost.
        late: it arrives some time after the sender has given up.
        repeated: it arrives, and once more later.
    """

    lost: float = 0.0
    unanswered: float = 0.0
    late: float = 0.0
    repeated: float = 0.0


@attrs.frozen
class _Request:
    entries: list[Entry]
    expected: int


class SimulatedLog:
    """What all nodes together see of one vhost's log; each node has a `Line` to it.

    Attributes:
        entries: what a quorum has, by sequence; what is purged is missing.
        end: the last sequence that was given.
        under_way: requests whose senders no longer wait, and which may arrive yet.
        is_stalled: it has no leader: nobody gets an answer, and what is sent arrives later, or never.
    """

    def __init__(self, random: Random, identity: str = "one") -> None:
        self.random = random
        self.identity = identity
        self.entries: dict[int, Entry] = {}
        self.end = 0
        self.under_way: list[_Request] = []
        self.weather = Weather()
        self.is_stalled = False

    def receive(self, request: _Request) -> None:
        """Append all or nothing. Raises OutOfTurn."""
        if request.expected != self.end:
            raise OutOfTurn
        for entry in request.entries:
            self.end += 1
            self.entries[self.end] = entry

    def some_arrives(self) -> None:
        """Perhaps something arrives that was under way."""
        while not self.is_stalled and self.under_way and self.random.random() < 0.5:
            request = self.under_way.pop(self.random.randrange(len(self.under_way)))
            try:
                self.receive(request)
            except OutOfTurn:
                continue

    @property
    def octets(self) -> int:
        return sum(len(entry.data) for entry in self.entries.values())


class Line:
    """One node's way to a log: a `Log`, or a `Lane` of one.

    Attributes:
        is_cut: nothing gets through.
        answers_are_cut: requests arrive, answers don't.
    """

    def __init__(self, log: SimulatedLog) -> None:
        self._log = log
        self.is_cut = False
        self.answers_are_cut = False

    @property
    def identity(self) -> str:
        return self._log.identity

    def claim(self, applied: int) -> None:
        """One lane alone needs no claim: to append is one."""

    def look_after(self) -> bool:
        return True

    def append(self, entries: Sequence[Entry], expected: int) -> int:
        log, weather, chance = self._log, self._log.weather, self._log.random.random
        log.some_arrives()
        request = _Request(list(entries), expected)
        if self.is_cut or chance() < weather.lost:
            raise NotConnected("lost")
        if log.is_stalled and chance() < 0.5:
            raise LogUnavailable("no leader")
        if log.is_stalled or chance() < weather.late:
            log.under_way.append(request)
            raise (LogUnavailable if log.is_stalled or len(log.under_way) % 2 else NotConnected)("late")
        if chance() < weather.repeated:
            log.under_way.append(request)
        is_unanswered = self.answers_are_cut or chance() < weather.unanswered
        try:
            log.receive(request)
        except OutOfTurn:
            if is_unanswered:
                raise LogUnavailable("unanswered") from None
            raise
        if is_unanswered:
            raise LogUnavailable("unanswered")
        return expected + len(entries)

    def read(self, after: int, wait_s: float) -> list[tuple[int, Entry]]:
        self._ask()
        log = self._log
        following = [(number, entry) for number, entry in log.entries.items() if number > after]
        return following[: log.random.choice((1, 2, 5, 1000))]

    def interrupt(self) -> None:
        """Nothing waits here."""

    def last(self) -> int:
        self._ask()
        return self._log.end

    def tail(self) -> tuple[int, Entry | None]:
        self._ask()
        return self._log.end, self._log.entries[self._log.end] if self._log.entries else None

    def peek(self, after: int) -> tuple[int, Entry] | None:
        self._ask()
        return next(((number, entry) for number, entry in self._log.entries.items() if number > after), None)

    def leader(self) -> str:
        self._ask()
        return ""

    def is_near(self) -> bool:
        return self._log.random.random() < 0.3

    def move_leader(self, away_from: set[str]) -> None:
        """It has none to speak of."""

    def subjects(self) -> dict[str, int]:
        self._ask()
        counts: dict[str, int] = {}
        for entry in self._log.entries.values():
            counts[entry.subject] = counts.get(entry.subject, 0) + 1
        return counts

    def purge(self, subject: str, before: int) -> None:
        self._ask()
        entries = self._log.entries
        for number in [number for number, entry in entries.items() if entry.subject == subject and number < before]:
            del entries[number]

    def _ask(self) -> None:
        self._log.some_arrives()
        weather, chance = self._log.weather, self._log.random.random
        if self.is_cut or self.answers_are_cut or self._log.is_stalled or chance() < weather.lost + weather.unanswered:
            raise LogUnavailable("no answer")


@attrs.frozen
class _Change:
    key: str
    value: bytes | None
    expected: int | None
    """The revision it replaces, 0 where there was none; None for any."""


class SimulatedTable:
    """A table of keys: a `KeyValue` for all nodes together, each told by its own watch.

    Attributes:
        values: by key, with revisions; a deleted one has None.
        is_cut: nobody gets through.
        watches: who is told, in the order in which they began.
        under_way: changes whose authors no longer wait, and which may arrive yet.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self.values: dict[str, tuple[bytes | None, int]] = {}
        self.is_cut = False
        self.weather = Weather()
        self._revision = 0
        self.watches: list[Watch] = []
        self.under_way: list[_Change] = []

    def put(self, key: str, value: bytes) -> int:
        return self._send(_Change(key, value, None))

    def create(self, key: str, value: bytes) -> int:
        there, revision = self.values.get(key, (None, 0))
        return self._send(_Change(key, value, revision if there is None else 0))  # a deletion has a revision as well

    def update(self, key: str, value: bytes, revision: int) -> int:
        return self._send(_Change(key, value, revision))

    def delete(self, key: str, revision: int | None = None) -> int:
        return self._send(_Change(key, None, revision))

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        watch = Watch(watcher, dict(self.values))
        self.watches.append(watch)
        return lambda: self.watches.remove(watch)

    def tell(self) -> None:
        """All watches are told all there is to tell."""
        for watch in self.watches:
            watch.tell(len(watch.news))

    def value(self, key: str) -> bytes | None:
        """What a key has; None if it is not there."""
        return self.values.get(key, (None, 0))[0]

    def _send(self, change: _Change) -> int:
        weather, chance = self.weather, self.random.random
        self._some_arrives()
        if self.is_cut or chance() < weather.lost:
            raise LogUnavailable("lost")
        if chance() < weather.late:
            self.under_way.append(change)
            raise LogUnavailable("late")
        if chance() < weather.repeated:
            self.under_way.append(change)
        revision = self._carry_out(change)
        if chance() < weather.unanswered:
            raise LogUnavailable("unanswered")
        return revision

    def _some_arrives(self) -> None:
        """Perhaps something arrives that was under way."""
        while self.under_way and self.random.random() < 0.05:  # so late that its author has made it again
            change = self.under_way.pop(self.random.randrange(len(self.under_way)))
            with suppress(Conflict):
                self._carry_out(change)

    def _carry_out(self, change: _Change) -> int:
        if change.expected not in (None, self.values.get(change.key, (None, 0))[1]):
            raise Conflict
        self._revision += 1
        self.values[change.key] = (change.value, self._revision)
        for watch in self.watches:
            watch.news.append((change.key, change.value, self._revision))
        return self._revision


class TableLine:
    """One node's way to the table: a `KeyValue`.

    Attributes:
        is_cut: nothing gets through.
        answers_are_cut: requests arrive, answers don't.
    """

    def __init__(self, table: SimulatedTable) -> None:
        self._table = table
        self.is_cut = False
        self.answers_are_cut = False

    def put(self, key: str, value: bytes) -> int:
        return self._ask(partial(self._table.put, key, value))

    def create(self, key: str, value: bytes) -> int:
        return self._ask(partial(self._table.create, key, value))

    def update(self, key: str, value: bytes, revision: int) -> int:
        return self._ask(partial(self._table.update, key, value, revision))

    def delete(self, key: str, revision: int | None = None) -> int:
        return self._ask(partial(self._table.delete, key, revision))

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        return self._table.watch(watcher)

    def _ask(self, change: Callable[[], int]) -> int:
        if self.is_cut:
            raise LogUnavailable("cut")
        try:
            return change()
        finally:
            if self.answers_are_cut:
                raise LogUnavailable("unanswered")


class Watch:
    """What one watcher has still to be told."""

    def __init__(self, watcher: Watcher, values: dict[str, tuple[bytes | None, int]]) -> None:
        self.news = deque((key, *each) for key, each in values.items())
        self._watcher = watcher

    def tell(self, count: int) -> None:
        for _ in range(min(count, len(self.news))):
            self._watcher(*self.news.popleft())
