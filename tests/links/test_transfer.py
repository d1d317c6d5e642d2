"""Nothing is acked at the source that the destination has not confirmed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amqp_broker.links.transfer import Transfer
from amqp_codec import BasicAck, BasicNack, Method


class Source:
    """Who hears of acks: what is settled there, and how."""

    def __init__(self, count: int) -> None:
        self.unacked = set(range(10, 10 + 2 * count, 2))
        self.acked: set[int] = set()
        self.requeued: set[int] = set()

    def hear(self, methods: list[Method]) -> None:
        for method in methods:
            if isinstance(method, BasicNack):
                assert not method.multiple
                self.requeued.add(method.delivery_tag)
                self.unacked.remove(method.delivery_tag)
            else:
                assert isinstance(method, BasicAck)
                assert method.delivery_tag in self.unacked, "a broker closes the channel for an unknown tag"
                tags = {tag for tag in self.unacked if tag <= method.delivery_tag}
                self.acked |= tags
                self.unacked -= tags


@given(st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.booleans(), st.booleans()), max_size=30))
def test_only_what_is_confirmed_is_acked(answers: list[tuple[int, bool, bool, bool]]) -> None:
    count = 12
    transfer, source = Transfer(), Source(count)
    tags = sorted(source.unacked)
    for tag in tags:
        transfer.publish(tag)
    open_numbers = set(range(1, count + 1))
    confirmed: set[int] = set()
    refused: set[int] = set()
    for number, is_ack, multiple, asks in answers:
        covered = {each for each in open_numbers if each == number or (multiple and each < number)}
        if number not in open_numbers:
            continue  # brokers answer once
        open_numbers -= covered
        if is_ack:
            confirmed |= covered
            transfer.acked(number, multiple=multiple)
        else:
            refused |= covered
            source.hear(transfer.refused(number, multiple=multiple))
        if asks:
            source.hear(transfer.acks())
        assert source.acked <= {tags[each - 1] for each in confirmed}
        assert source.requeued == {tags[each - 1] for each in refused}
        assert transfer.waiting == len(open_numbers)
    if open_numbers:
        transfer.acked(count, multiple=True)
        confirmed |= open_numbers
    source.hear(transfer.acks())
    assert source.acked == {tags[each - 1] for each in confirmed}
    assert not source.unacked
    assert transfer.confirmed == len(confirmed)


def test_confirms_in_any_order_are_acked_when_all_before_them_are() -> None:
    transfer = Transfer()
    for tag in (1, 2, 3):
        transfer.publish(tag)
    transfer.acked(3, multiple=False)
    transfer.acked(2, multiple=False)
    assert transfer.acks() == []
    transfer.acked(1, multiple=False)
    assert transfer.acks() == [BasicAck(delivery_tag=3, multiple=True)]
    assert transfer.acks() == []
