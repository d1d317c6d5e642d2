"""Guessing passwords takes its time, and tells nothing."""

from __future__ import annotations

import pytest

from amqp_broker.auth.attempts import MAX_ADDRESSES, MEMORY_S, FailedLogins
from amqp_broker.auth.users import Peer
from amqp_broker.config import Config
from amqp_codec import ConnectionStartOk, encode_method_frame
from tests.support.backends import SlowBackend
from tests.support.client import CAPABILITIES, Client, World


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time


def test_delays_grow_up_to_a_limit_and_are_forgotten() -> None:
    clock = Clock()
    failed = FailedLogins(clock, free=2, longest_s=3.0)
    assert [failed.delay_s("a") for _ in range(8)] == [0, 0, 0.25, 0.5, 1, 2, 3, 3]
    assert failed.delay_s("b") == 0
    clock.time += MEMORY_S
    assert failed.delay_s("a") == 3
    clock.time += MEMORY_S + 1
    assert failed.delay_s("a") == 0


def test_so_many_failures_that_a_float_would_overflow() -> None:
    failed = FailedLogins(Clock(), free=0, longest_s=3.0)
    assert max(failed.delay_s("a") for _ in range(5000)) == 3.0


def test_no_more_addresses_are_remembered_than_allowed() -> None:
    failed = FailedLogins(Clock(), free=1, longest_s=3.0)
    for number in range(MAX_ADDRESSES):
        failed.delay_s(str(number))
    assert failed.delay_s(str(MAX_ADDRESSES - 1)) > 0
    failed.delay_s("one more")
    assert failed.delay_s("0") == 0


def refused(world: World, response: bytes, peer: Peer) -> float:
    """Log in with what is wrong; gives how long the answer took."""
    client = Client(world, peer=peer)
    client.login(response=response)
    waited = 0.0
    while not client.inbox and waited < 10:
        world.advance(0.25)
        waited += 0.25
        client.pump()
    client.expect_close(
        403,
        "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
    )
    return waited


@pytest.mark.rule("1.11")
def test_who_fails_often_waits_for_the_answer_and_others_do_not() -> None:
    world = World()
    guesser, other = Peer("192.0.2.7", 1), Peer("192.0.2.8", 1)
    assert [refused(world, b"\0guest\0wrong", guesser) for _ in range(8)] == [0, 0, 0, 0.25, 0.5, 1, 2, 3]
    assert refused(world, b"\0guest\0wrong", other) == 0


@pytest.mark.rule("1.11")
def test_an_unknown_name_and_a_wrong_password_are_answered_alike() -> None:
    unknown, wrong = World(), World()
    peer = Peer("127.0.0.1", 1)
    for _ in range(6):
        assert refused(unknown, b"\0nobody\0wrong", peer) == refused(wrong, b"\0guest\0wrong", peer)


def test_who_logs_in_rightly_never_waits() -> None:
    world = World()
    peer = Peer("127.0.0.1", 1)
    for _ in range(6):
        refused(world, b"\0guest\0wrong", peer)
    client = Client(world, peer=peer)
    client.open()


def test_nothing_is_read_while_a_refusal_waits() -> None:
    world = World(Config(free_login_failures=0))
    backend = SlowBackend(world.broker)
    client = Client(world)
    client.begin()
    attempts = [
        ConnectionStartOk(
            client_properties={"capabilities": CAPABILITIES}, mechanism="PLAIN", response=response, locale="en_US"
        )
        for response in (b"\0bob\0wrong", b"\0bob\0pw")
    ]
    client.send_octets(b"".join(encode_method_frame(0, attempt) for attempt in attempts))
    backend.answer()
    assert not backend.asked
    assert not client.connection.may_read
    world.advance(0.3)
    client.pump()
    client.expect_close(403)
    client.expect_nothing()
    assert not backend.asked


def test_a_client_that_leaves_meanwhile_is_not_missed() -> None:
    world = World(Config(free_login_failures=0))
    client = Client(world)
    client.login(response=b"\0guest\0wrong")
    client.drop()
    world.advance(1)
    assert not world.broker.clients
    assert not world.broker.newcomers
