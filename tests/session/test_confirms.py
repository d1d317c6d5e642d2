"""The numbers of a channel in confirm mode: each answered once, in order, none before it is safe."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amqp_broker.session.confirms import Confirms
from amqp_codec import BasicAck, BasicNack, Method
from tests.support.storage import SlowStorage

STEPS = st.lists(st.sampled_from(("publish", "publish", "store", "refuse", "flush", "flush", "sync")), max_size=40)


class Publisher:
    """Publishes without a broker, and reads the confirms as a client does."""

    def __init__(self) -> None:
        self.storage = SlowStorage()
        self.sent: list[Method] = []
        self.confirms = Confirms(self.storage, self.sent.append)
        self.refused: set[int] = set()
        self.unsafe: set[int] = set()
        self.answered = 0

    def publish(self, *, stored: bool = False, refused: bool = False) -> None:
        confirms = self.confirms
        confirms.published += 1
        if stored:
            self.storage.touch()
            confirms.must_wait = True
            self.unsafe.add(confirms.published)
        if refused:
            confirms.refuse_last()
            self.refused.add(confirms.published)

    def sync(self) -> None:
        self.unsafe.clear()
        self.storage.sync()

    def check_answers(self) -> None:
        for method in self.sent:
            assert isinstance(method, BasicAck | BasicNack)
            first = self.answered + 1
            assert method.delivery_tag == first or (method.multiple and method.delivery_tag > first)
            covered = set(range(first, method.delivery_tag + 1))
            assert not covered & self.unsafe
            assert covered & self.refused == (covered if isinstance(method, BasicNack) else set())
            self.answered = method.delivery_tag
        self.sent.clear()
        assert self.answered <= self.confirms.published


@given(STEPS)
def test_every_number_is_answered_once_and_in_order_when_it_is_safe(steps: list[str]) -> None:
    publisher = Publisher()
    for step in steps:
        if step == "flush":
            publisher.confirms.flush()
        elif step == "sync":
            publisher.sync()
        else:
            publisher.publish(stored=step == "store", refused=step == "refuse")
        publisher.check_answers()
    publisher.confirms.flush()
    publisher.sync()
    publisher.check_answers()
    assert publisher.answered == publisher.confirms.published


def test_one_flush_answers_with_few_methods() -> None:
    publisher = Publisher()
    for refused in (False, False, False, True, False, True, True):
        publisher.publish(refused=refused)
    publisher.confirms.flush()
    assert publisher.sent == [
        BasicAck(delivery_tag=3, multiple=True),
        BasicNack(delivery_tag=4),
        BasicAck(delivery_tag=5),
        BasicNack(delivery_tag=6),
        BasicNack(delivery_tag=7),
    ]


def test_flush_of_nothing_says_nothing() -> None:
    publisher = Publisher()
    publisher.confirms.flush()
    publisher.publish()
    publisher.confirms.flush()
    publisher.confirms.flush()
    assert publisher.sent == [BasicAck(delivery_tag=1)]
