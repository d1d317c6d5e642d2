"""A log that loses, delays and repeats what it is sent, and a table of keys that does. A seed does it again."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import attrs

from amqp_broker.cluster.log import Entry, LogUnavailable, OutOfTurn


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
    """

    def __init__(self, random: Random, identity: str = "one") -> None:
        self.random = random
        self.identity = identity
        self.entries: dict[int, Entry] = {}
        self.end = 0
        self.under_way: list[_Request] = []
        self.weather = Weather()

    def receive(self, request: _Request) -> None:
        """Append all or nothing. Raises OutOfTurn."""
        if request.expected != self.end:
            raise OutOfTurn
        for entry in request.entries:
            self.end += 1
            self.entries[self.end] = entry

    def some_arrives(self) -> None:
        """Perhaps something arrives that was under way."""
        while self.under_way and self.random.random() < 0.5:
            request = self.under_way.pop(self.random.randrange(len(self.under_way)))
            try:
                self.receive(request)
            except OutOfTurn:
                continue

    @property
    def octets(self) -> int:
        return sum(len(entry.data) for entry in self.entries.values())


class Line:
    """One node's way to a log: a `Log`.

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

    def append(self, entries: Sequence[Entry], expected: int) -> int:
        log, weather, chance = self._log, self._log.weather, self._log.random.random
        log.some_arrives()
        request = _Request(list(entries), expected)
        if self.is_cut or chance() < weather.lost:
            raise LogUnavailable("lost")
        if chance() < weather.late:
            log.under_way.append(request)
            raise LogUnavailable("late")
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

    def last(self) -> int:
        self._ask()
        return self._log.end

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
        if self.is_cut or self.answers_are_cut or chance() < weather.lost + weather.unanswered:
            raise LogUnavailable("no answer")
