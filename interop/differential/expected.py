"""What is different because RabbitMQ changed after 3.10, each with the rule of docs/conformance.md that says so.

Two kinds: what leaves both brokers in the same state is taken out of both sides before they are compared; what
does not ends the sequence where it happens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from interop.differential.observation import Observation, Part
from interop.differential.operations import CLOSE_CONNECTION, DROP_CONNECTION, Operation

NEWER_HEADERS: Final[Mapping[str, str]] = {
    "x-last-death-reason": "4.39",
    "x-last-death-queue": "4.39",
    "x-last-death-exchange": "4.39",
    "x-acquired-count": "4.47",
    "x-delivery-count": "4.47",
}
"""Headers that a newer RabbitMQ sends, or counts otherwise."""


@dataclass(frozen=True)
class Change:
    """Something that our broker and RabbitMQ did not answer alike in a step.

    Attributes:
        where: `channel 0.1`, `connection 0`, `queue d7.q0`.
        kind: of what was seen there.
        ours: what was seen here; None if nothing.
        theirs: what was seen there, likewise.
    """

    where: str
    kind: str
    ours: Any
    theirs: Any

    @property
    def is_of_messages(self) -> bool:
        """Which messages came, to whom, or how many wait: no error, answer or confirm."""
        return self.where.startswith("queue ") or self.kind in ("got", "delivery tags") or self.kind.startswith("deliv")


@dataclass(frozen=True)
class Difference:
    """A step that our broker and RabbitMQ did not answer alike.

    Attributes:
        operations: the sequence up to that step, this one included.
        ours: what was seen here in that step.
        theirs: what was seen there.
    """

    operations: tuple[Operation, ...]
    ours: Observation
    theirs: Observation

    @property
    def last(self) -> Operation:
        return self.operations[-1]

    def changes(self) -> list[Change]:
        """Tell what differs, part by part."""
        ours, theirs = comparable(self.ours), comparable(self.theirs)
        found = []
        for where in sorted(ours.keys() | theirs.keys()):
            ours_here, theirs_here = ours.get(where, {}), theirs.get(where, {})
            found += [
                Change(where, kind, ours_here.get(kind), theirs_here.get(kind))
                for kind in sorted(ours_here.keys() | theirs_here.keys())
                if ours_here.get(kind) != theirs_here.get(kind)
            ]
        return found

    def lines(self) -> list[str]:
        """Show what differs."""
        return [
            line
            for change in self.changes()
            for line in (f"{change.where}, {change.kind}:", f"  ours   {change.ours}", f"  theirs {change.theirs}")
        ]

    def texts(self) -> str:
        return "\n".join(self.lines())


@dataclass(frozen=True)
class Expected:
    """A difference that is meant.

    Attributes:
        rule: of docs/conformance.md.
        what: RabbitMQ 3.10's way and ours.
        applies: whether a difference is this one; says so of as little as it can, for nothing behind it is compared.
    """

    rule: str
    what: str
    applies: Callable[[Difference], bool]


def _says(where: str) -> Callable[[Difference], bool]:
    """Something in a difference is like this, lines and all."""
    pattern = re.compile(where)
    return lambda difference: pattern.search(difference.texts()) is not None


def _only_messages(difference: Difference) -> bool:
    return all(change.is_of_messages for change in difference.changes())


def _only_counts(difference: Difference) -> bool:
    return all(change.where.startswith("queue ") for change in difference.changes())


def _declared_with(difference: Difference, *arguments: str) -> set[str]:
    """Name the queues that were declared with one of these arguments."""
    declared = [each.arguments for each in difference.operations if each.call == "queue_declare"]
    return {each["queue"] for each in declared if not each.get("arguments", {}).keys().isdisjoint(arguments)}


def _takers(difference: Difference, before: int, place: tuple[int, int] | int) -> Mapping[str, int]:
    """Count who took from each queue up to an operation, on a channel or a connection: consumers, and gets as one."""
    takers: dict[str, set[str]] = {}
    for each in difference.operations[:before]:
        is_there = place in (each.connection, (each.connection, each.channel))
        if is_there and each.call in ("basic_consume", "basic_get") and not each.arguments.get("auto_ack"):
            takers.setdefault(each.arguments["queue"], set()).add(each.arguments.get("consumer_tag", ""))
    return {queue: len(tags) for queue, tags in takers.items()}


def _gives_back(difference: Difference, number: int, queues: set[str]) -> bool:
    """Whether an operation may return what several had of one of these queues."""
    each = difference.operations[number]
    if each.call in (CLOSE_CONNECTION, DROP_CONNECTION):
        place: tuple[int, int] | int = each.connection
    elif each.call in ("basic_recover", "close") or (
        each.call == "basic_nack" and each.arguments.get("multiple") and each.arguments.get("requeue")
    ):
        place = each.connection, each.channel
    else:
        return False
    return any(count > 1 and queue in queues for queue, count in _takers(difference, number, place).items())


def _returns_of_several(difference: Difference) -> bool:
    """The last step gives back what more than one consumer had, to a queue with a limit."""
    limited = _declared_with(difference, "x-max-length", "x-max-length-bytes")
    return _only_messages(difference) and _gives_back(difference, len(difference.operations) - 1, limited)


def _returns_go_out(difference: Difference) -> bool:
    """The last step gives back what more than one consumer had, and all of it goes out again."""
    changes = difference.changes()
    ours = sorted(body for change in changes for body in _bodies(change.ours))
    theirs = sorted(body for change in changes for body in _bodies(change.theirs))
    queues = {each.arguments["queue"] for each in difference.operations if each.call == "queue_declare"}
    is_so = _gives_back(difference, len(difference.operations) - 1, queues)
    return is_so and ours == theirs and all(change.kind.startswith("deliv") for change in changes)


def _room_for_several(difference: Difference) -> bool:
    """The last step makes room under the limit of a channel that consumes from several queues."""
    place = difference.last.connection, difference.last.channel
    is_limited = any(
        each.call == "basic_qos" and each.arguments.get("global_qos") and (each.connection, each.channel) == place
        for each in difference.operations
    )
    makes_room = difference.last.call in ("basic_ack", "basic_nack", "basic_reject")
    queues = _takers(difference, len(difference.operations) - 1, place)
    return is_limited and makes_room and len(queues) > 1 and _only_messages(difference)


def _dead_letter_first(difference: Difference) -> bool:
    """A message and its dead letter have come to the same queue, in another order: all that differs is the deaths."""
    overflowing = _declared_with(difference, "x-max-length", "x-max-length-bytes")
    return bool(overflowing & _declared_with(difference, "x-dead-letter-exchange")) and all(
        _are_messages(change.ours)
        and _are_messages(change.theirs)
        and list(map(_without_death, change.ours)) == list(map(_without_death, change.theirs))
        for change in difference.changes()
    )


def _are_messages(what: Any) -> bool:
    return isinstance(what, list) and all(isinstance(each, dict) for each in what)


def _bodies(messages: Any) -> list[bytes]:
    """Of messages in whatever order; none for what are no messages."""
    return sorted(each["body"] for each in messages) if _are_messages(messages) else []


def _without_death(message: Mapping[str, Any]) -> dict[str, Any]:
    properties = message["properties"]
    headers = {key: value for key, value in properties.get("headers", {}).items() if "death" not in key}
    return {**message, "properties": {**properties, "headers": headers}}


def _reordered_returns(difference: Difference) -> bool:
    """Something was given back to a quorum queue by more than one consumer, and comes again in another order."""
    quorum = _declared_with(difference, "x-delivery-limit")
    given_back = any(_gives_back(difference, number, quorum) for number in range(len(difference.operations)))
    return given_back and _only_messages(difference)


def _takes_over(difference: Difference) -> bool:
    """A consumer of another priority is at a quorum queue with a single active consumer."""
    quorum = _declared_with(difference, "x-delivery-limit") & _declared_with(difference, "x-single-active-consumer")
    consumed = [each.arguments for each in difference.operations if each.call == "basic_consume"]
    is_prior = any(each["queue"] in quorum and "x-priority" in each["arguments"] for each in consumed)
    return is_prior and _only_messages(difference)


EXPECTED: Final = (
    Expected(
        "4.20",
        "if-unused and if-empty are refused for quorum queues by RabbitMQ, and heeded here",
        _says(r"theirs .*NOT_IMPLEMENTED - cannot delete queue .* not supported by quorum queues"),
    ),
    Expected(
        "4.11",
        "an absent x-queue-type is compared as 'classic' since 4.0, and as none before",
        _says(
            r"ours .*(received 'classic' but current is 'quorum'.*\n.*received none but current is the value 'quorum'"
            r"|received 'quorum' but current is 'classic'.*\n.*received the value 'quorum' .* but current is none)"
        ),
    ),
    Expected(
        "4.58",
        "the single active consumer of a quorum queue gives way to one of a higher priority since 4.0",
        _takes_over,
    ),
    Expected(
        "4.32",
        "RabbitMQ takes back what several consumers had consumer by consumer, and drops what is too much after each",
        _returns_of_several,
    ),
    Expected(
        "4.44",
        "and gives these out again before it has taken back the next one's: who gets which, in which order",
        _returns_go_out,
    ),
    Expected(
        "4.36",
        "what dies in one queue of a publish comes to the others behind the message itself; in RabbitMQ, where each "
        "queue is a process, now and then before it",
        _dead_letter_first,
    ),
    Expected(
        "4.48",
        "so it does with quorum queues, whose returned messages then come in that order",
        _reordered_returns,
    ),
    Expected(
        "5.38",
        "under a limit of the channel 3.10 delivers what a commit publishes before what the same commit returns",
        lambda difference: (
            difference.last.call == "tx_commit"
            and any(
                each.arguments.get("global_qos") is True
                and (each.connection, each.channel) == (difference.last.connection, difference.last.channel)
                for each in difference.operations
            )
            and _only_messages(difference)
        ),
    ),
    Expected(
        "5.38",
        "which queue comes first when a channel has room again under its limit, RabbitMQ leaves to chance",
        _room_for_several,
    ),
    Expected(
        "4.19",
        "of a quorum queue RabbitMQ tells the number it had at its last look, with what is due",
        lambda difference: (
            difference.last.call == "queue_delete"
            and difference.last.arguments["queue"] in _declared_with(difference, "x-delivery-limit")
            and all(
                change.kind == "answers"
                and "Queue.DeleteOk" in f"{change.ours}"
                and "Queue.DeleteOk" in f"{change.theirs}"
                for change in difference.changes()
            )
        ),
    ),
    Expected(
        "5.16",
        "a get from a quorum queue counts what is due behind the message it gives; here that has gone before",
        lambda difference: (
            difference.last.call == "basic_get"
            and difference.last.arguments["queue"] in _declared_with(difference, "x-delivery-limit")
            and all(
                change.kind == "got" and _without_left(change.ours) == _without_left(change.theirs)
                for change in difference.changes()
            )
        ),
    ),
    Expected(
        "4.26",
        "behind others in a priority queue RabbitMQ looks for what is due only when the next message comes or goes",
        lambda difference: bool(_declared_with(difference, "x-max-priority")) and _only_counts(difference),
    ),
)


def _without_left(got: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return [{key: value for key, value in each.items() if key != "left"} for each in got or []]


def expected_as(difference: Difference) -> Expected | None:
    """The entry of the table that a difference falls under, None when it is a finding."""
    return next((each for each in EXPECTED if each.applies(difference)), None)


def same(ours: Observation, theirs: Observation) -> bool:
    return comparable(ours) == comparable(theirs)


def comparable(seen: Observation) -> dict[str, Part]:
    """An observation without what is known to be different and to have no consequences."""
    return {where: {kind: _without_newer(what) for kind, what in part.items()} for where, part in seen.parts.items()}


def _without_newer(what: Any) -> Any:
    if isinstance(what, dict):
        kept = {key: _without_newer(value) for key, value in what.items() if key not in NEWER_HEADERS}
        if kept.get("headers") == {}:
            del kept["headers"]
        return kept
    if isinstance(what, list):
        return [_without_newer(each) for each in what]
    return what
