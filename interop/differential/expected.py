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

    def lines(self) -> list[str]:
        """Show what differs, part by part."""
        ours, theirs = comparable(self.ours), comparable(self.theirs)
        shown = []
        for where in sorted(ours.keys() | theirs.keys()):
            ours_here, theirs_here = ours.get(where, {}), theirs.get(where, {})
            for kind in sorted(ours_here.keys() | theirs_here.keys()):
                if ours_here.get(kind) != theirs_here.get(kind):
                    shown += [f"{where}, {kind}:", f"  ours   {ours_here.get(kind)}"]
                    shown.append(f"  theirs {theirs_here.get(kind)}")
        return shown

    def texts(self) -> str:
        return "\n".join(self.lines())


@dataclass(frozen=True)
class Expected:
    """A difference that is meant.

    Attributes:
        rule: of docs/conformance.md.
        what: RabbitMQ 3.10's way and ours.
        applies: whether a difference is this one.
    """

    rule: str
    what: str
    applies: Callable[[Difference], bool]


def _says(where: str) -> Callable[[Difference], bool]:
    """Something in a difference is like this, lines and all."""
    pattern = re.compile(where)
    return lambda difference: pattern.search(difference.texts()) is not None


def _declares(difference: Difference, *arguments: str) -> bool:
    """Some queue of the sequence has one of these arguments."""
    declared = [each.arguments.get("arguments", {}) for each in difference.operations if each.call == "queue_declare"]
    return any(argument in table for table in declared for argument in arguments)


def _consumes(difference: Difference, argument: str | None = None) -> int:
    """How many consumers were started, or how many with this argument."""
    started = [each.arguments for each in difference.operations if each.call == "basic_consume"]
    return sum(argument is None or argument in arguments["arguments"] for arguments in started)


def _gives_back(operation: Operation) -> bool:
    """Whether an operation may return what several consumers have."""
    return operation.call in ("basic_recover", "close", CLOSE_CONNECTION, DROP_CONNECTION) or (
        operation.call == "basic_nack" and operation.arguments.get("multiple") is True
    )


def _returns_of_several(difference: Difference) -> bool:
    """The last step gives back what more than one consumer had, to a queue with a limit."""
    has_limit = _declares(difference, "x-max-length", "x-max-length-bytes")
    return _gives_back(difference.operations[-1]) and _consumes(difference) > 1 and has_limit


def _reordered_returns(difference: Difference) -> bool:
    """Something was given back to a quorum queue by more than one consumer, and comes again in another order."""
    given_back = any(_gives_back(operation) for operation in difference.operations)
    return given_back and _consumes(difference) > 1 and _declares(difference, "x-delivery-limit")


def _only_counts(difference: Difference) -> bool:
    """All that differs is how many messages wait."""
    return all(line.startswith(("queue ", "  ours", "  theirs")) for line in difference.lines())


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
        lambda difference: (
            _declares(difference, "x-single-active-consumer")
            and _declares(difference, "x-delivery-limit")
            and _consumes(difference, "x-priority") > 0
        ),
    ),
    Expected(
        "4.32",
        "RabbitMQ takes back what several consumers had consumer by consumer, and drops what is too much after each",
        _returns_of_several,
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
            difference.operations[-1].call == "tx_commit"
            and any(each.arguments.get("global_qos") is True for each in difference.operations)
        ),
    ),
    Expected(
        "4.19",
        "of a quorum queue RabbitMQ tells the number it had at its last look, with what is due",
        lambda difference: (
            difference.operations[-1].call == "queue_delete"
            and _declares(difference, "x-delivery-limit")
            and all(", answers:" in line or "Queue.DeleteOk" in line for line in difference.lines())
        ),
    ),
    Expected(
        "5.16",
        "a get from a quorum queue counts what is due behind the message it gives; here that has gone before",
        lambda difference: (
            difference.operations[-1].call == "basic_get"
            and _declares(difference, "x-delivery-limit")
            and all(", got:" in line or "'left': " in line for line in difference.lines())
        ),
    ),
    Expected(
        "4.26",
        "behind others in a priority queue RabbitMQ looks for what is due only when the next message comes or goes",
        lambda difference: _declares(difference, "x-max-priority") and _only_counts(difference),
    ),
)


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
