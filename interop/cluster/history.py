"""What clients have seen, and what is wrong with it: in the manner of Jepsen's tests of queues."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Final

import attrs

LEAD_S: Final = 0.3
"""The last confirm before an event can be so old, and what follows be of that event."""


QUORUM_GONE: Final = "links between all servers of NATS silent"
"""An event during which nothing can be confirmed, so that it counts from its end."""


NATS_APART: Final = (QUORUM_GONE, "link between NATS", "links of NATS", "cable of NATS")
"""How events begin that take NATS apart, which then elects leaders of many streams at once, for as long as it needs."""


@attrs.frozen
class Delivery:
    """A message that a consumer got."""

    at: float
    queue: str
    publisher: str
    number: int
    redelivered: bool


@attrs.define
class History:
    """Entered by many threads; each list only grows.

    Attributes:
        began_at: all other times are seconds since then.
        attempts: publisher and number, before it is published.
        confirms: when, publisher, number.
        deliveries: in the order in which each queue's one consumer got them.
        events: when something was done to the cluster, when it was healed, and what.
        errors: what clients were told, counted.
    """

    began_at: float = attrs.Factory(time.monotonic)
    queue_of: dict[str, str] = attrs.Factory(dict)
    attempts: list[tuple[str, int]] = attrs.Factory(list)
    confirms: list[tuple[float, str, int]] = attrs.Factory(list)
    deliveries: list[Delivery] = attrs.Factory(list)
    events: list[tuple[float, float, str]] = attrs.Factory(list)
    errors: Counter[str] = attrs.Factory(Counter)

    def now(self) -> float:
        return time.monotonic() - self.began_at

    def confirmed(self, publisher: str, number: int) -> None:
        self.confirms.append((self.now(), publisher, number))

    def delivered(self, queue: str, body: bytes, redelivered: bool) -> None:
        publisher, _, number = body.decode().partition(":")
        self.deliveries.append(Delivery(self.now(), queue, publisher, int(number), redelivered))


@attrs.frozen
class Verdict:
    """What the checker found.

    Attributes:
        lost: confirmed and never delivered.
        invented: delivered and never published, or from another queue.
        disordered: a message that came for the first time after a later one of its publisher.
        duplicates: deliveries beyond the first.
        doubtful: published and not confirmed, and how many of them were delivered.
    """

    published: int
    confirmed: int
    delivered: int
    lost: list[tuple[str, int]]
    invented: list[tuple[str, int]]
    disordered: list[tuple[str, int]]
    duplicates: int
    doubtful: int
    doubtful_delivered: int

    @property
    def is_right(self) -> bool:
        return not (self.lost or self.invented or self.disordered) and self.confirmed > 0


def check(history: History) -> Verdict:
    """Look for what must not be."""
    attempts = set(history.attempts)
    confirmed = {(publisher, number) for _, publisher, number in history.confirms}
    delivered: set[tuple[str, int]] = set()
    invented, disordered = [], []
    highest: defaultdict[str, int] = defaultdict(lambda: -1)
    for each in history.deliveries:
        message = (each.publisher, each.number)
        if message in delivered:
            continue
        delivered.add(message)
        if message not in attempts or history.queue_of[each.publisher] != each.queue:
            invented.append(message)
        if each.number < highest[each.publisher]:
            disordered.append(message)
        highest[each.publisher] = max(highest[each.publisher], each.number)
    doubtful = attempts - confirmed
    return Verdict(
        published=len(attempts),
        confirmed=len(confirmed),
        delivered=len(delivered),
        lost=sorted(confirmed - delivered),
        invented=invented,
        disordered=disordered,
        duplicates=len(history.deliveries) - len(delivered),
        doubtful=len(doubtful),
        doubtful_delivered=len(doubtful & delivered),
    )


@attrs.frozen
class Gap:
    """The longest time without a confirm, in whichever queue that was longest, from an event up to the next one."""

    event: str
    at: float
    queue: str
    seconds: float


def unavailability(history: History, until: float) -> list[Gap]:
    """For each event how long some queue took no messages; for one that leaves no quorum, since that was healed.

    A publisher that finds its node gone has to connect anew, which is counted.
    """
    times: defaultdict[str, list[float]] = defaultdict(lambda: [0.0])
    for at, publisher, _ in history.confirms:
        times[history.queue_of[publisher]].append(at)
    gaps = [Gap("", a, queue, b - a) for queue in times for a, b in pairwise([*times[queue], until])]
    starts = [at for at, _, _ in history.events]
    found = []
    for (begin, healed, what), end in zip(history.events, [*starts[1:], until], strict=True):
        its = [gap for gap in gaps if begin - LEAD_S <= gap.at < end - LEAD_S]
        if what == QUORUM_GONE:
            its = [_from(gap, healed) for gap in its]
        longest = max(its, key=lambda gap: gap.seconds, default=Gap("", begin, "", end - begin))
        found.append(attrs.evolve(longest, event=what))
    return found


def _from(gap: Gap, moment: float) -> Gap:
    """What of it comes after a moment."""
    at = max(gap.at, moment)
    return attrs.evolve(gap, at=at, seconds=max(0.0, gap.at + gap.seconds - at))
