"""The differential test: some sequences against a real RabbitMQ, and what must hold of its machinery without one."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from random import Random

import pytest

from interop.differential.expected import Difference, comparable, same
from interop.differential.generator import Generator
from interop.differential.observation import Observation
from interop.differential.operations import Operation, as_script
from interop.differential.player import Player
from interop.differential.run import run
from interop.differential.shrink import shrink
from interop.own_broker import running_own_broker
from interop.rabbitmq import RabbitMQUnavailableError, running_rabbitmq

SEQUENCES = 30


@pytest.fixture(scope="module")
def ours() -> Iterator[str]:
    with running_own_broker() as url:
        yield url


@pytest.fixture(scope="module")
def theirs() -> Iterator[str]:
    try:
        with running_rabbitmq() as url:
            yield url
    except RabbitMQUnavailableError as error:
        pytest.skip(str(error))


def test_rabbitmq_answers_as_we_do(ours: str, theirs: str) -> None:
    outcome = run(ours, theirs, range(SEQUENCES), 1, lambda _runner, _finding: None)
    assert outcome.sequences == SEQUENCES
    assert outcome.operations > 10 * SEQUENCES
    assert not outcome.findings, "\n\n".join(map(str, outcome.findings))


def test_a_broker_answers_as_itself(ours: str) -> None:
    with running_own_broker() as again:
        outcome = run(ours, again, range(SEQUENCES), 2, lambda _runner, _finding: None)
    assert not outcome.findings, "\n\n".join(map(str, outcome.findings))
    assert not outcome.expected


def test_a_difference_is_found_and_made_short(ours: str) -> None:
    """A queue that one of the two has had a message in from the beginning."""
    declare = Operation(0, 1, "queue_declare", {"queue": "shown", "durable": False})
    publish = Operation(0, 1, "basic_publish", {"exchange": "", "routing_key": "shown"}, {}, b"1")
    get = Operation(0, 1, "basic_get", {"queue": "shown", "auto_ack": True})
    noise = [Operation(0, 2, "basic_qos", {"prefetch_count": number, "global_qos": False}) for number in range(5)]
    player = Player(ours, same, 1.0)
    try:

        def play(operations: Sequence[Operation]) -> Difference | None:
            steps = player.play(operations)
            others = player.play([each for each in operations if each is not publish])
            last, other = steps[-1].observation, others[-1].observation
            return None if same(last, other) else Difference(tuple(operations), last, other)

        first = play([*noise, declare, *noise, publish, *noise, get])
        assert first is not None
        assert shrink(first, play).operations == (declare, publish, get)
    finally:
        player.close()


def test_a_sequence_is_the_same_again() -> None:
    assert Generator(Random("1/7"), 7).sequence(40) == Generator(Random("1/7"), 7).sequence(40)


def test_a_sequence_is_printed_as_python() -> None:
    operations = Generator(Random(3), 3).sequence(60)
    ast.parse(as_script(operations, range(len(operations))))


def test_what_newer_versions_send_is_not_compared() -> None:
    seen = Observation()
    seen.add("channel 0.1", "got", {"headers": {"x-last-death-reason": "expired", "x-death": [{"count": "1L"}]}})
    assert comparable(seen) == {"channel 0.1": {"got": [{"headers": {"x-death": [{"count": "1L"}]}}]}}
