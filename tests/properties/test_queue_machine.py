"""One queue against a simple model: several channels publish, consume, get, settle and end as they like.

The model keeps positions and flags only. It does not say who has to get a message, but checks of every
delivery that it was the head of the queue, that its flag is right and that its consumer may have it: one
that lives, has room, and stands behind nobody of a higher priority who has room as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from amqp_codec import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicGet,
    BasicGetEmpty,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    BasicRecoverOk,
    BasicReject,
    ChannelClose,
    ChannelCloseOk,
    Command,
    Method,
    QueuePurge,
    QueuePurgeOk,
)
from tests.support.client import ChannelClient, World

QUEUE = "q"
CHANNELS = (1, 2, 3)


@dataclass(eq=False)
class Message:
    """A message, which is its position in the queue."""

    position: int
    redelivered: bool = False


@dataclass(eq=False)
class Consumer:
    """A consumer and what it may have."""

    tag: str
    no_ack: bool
    priority: int
    limit: int
    unacked: int = 0


@dataclass(eq=False)
class Channel:
    """A channel as the rules describe it; `unacked` has the message of each tag, and whose delivery it was."""

    client: ChannelClient
    next_tag: int = 1
    limit: int = 0
    """For consumers to come."""
    shared_limit: int = 0
    consumers: dict[str, Consumer] = field(default_factory=dict)
    unacked: dict[int, tuple[Message, Consumer | None]] = field(default_factory=dict)

    def has_room(self, consumer: Consumer) -> bool:
        delivered = sum(holder is not None for _, holder in self.unacked.values())
        if self.shared_limit and delivered >= self.shared_limit:
            return False
        return consumer.no_ack or not consumer.limit or consumer.unacked < consumer.limit

    def settle(self, tags: list[int]) -> list[Message]:
        """Take deliveries off; gives their messages."""
        messages = []
        for tag in tags:
            message, holder = self.unacked.pop(tag)
            messages.append(message)
            if holder is not None:
                holder.unacked -= 1
        return messages


class QueueMachine(RuleBasedStateMachine):
    """Drives the broker and the model, and compares them after every step."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.inspector = self.world.channel()
        self.inspector.queue(QUEUE)
        self.client = self.world.client()
        self.channels = {channel_id: Channel(self.client.channel(channel_id)) for channel_id in CHANNELS}
        self.ready: list[Message] = []
        self.published = 0
        self.consumed = 0

    # What comes from the broker

    def take_deliveries(self) -> Command | None:
        """Check and note all deliveries that have come; gives the first command that is none."""
        self.client.pump()
        while self.client.inbox:
            command = self.client.inbox.popleft()
            if not isinstance(command.method, BasicDeliver):
                return command
            self.delivered(command, command.method)
        return None

    def delivered(self, command: Command, method: BasicDeliver) -> None:
        channel = self.channels[command.channel_id]
        consumer = channel.consumers[method.consumer_tag]
        assert channel.has_room(consumer)
        rivals = [(each, rival) for each in self.channels.values() for rival in each.consumers.values()]
        assert not any(rival.priority > consumer.priority and each.has_room(rival) for each, rival in rivals)
        holder = None if consumer.no_ack else consumer
        self.handed_out(channel, command, method.delivery_tag, method.redelivered, holder, consumer.no_ack)

    def handed_out(
        self,
        channel: Channel,
        command: Command,
        tag: int,
        redelivered: bool,
        holder: Consumer | None,
        no_ack: bool,
    ) -> None:
        message = self.ready.pop(0)
        assert command.body == str(message.position).encode()
        assert redelivered == message.redelivered
        assert tag == channel.next_tag
        channel.next_tag += 1
        if no_ack:
            self.consumed += 1
            return
        channel.unacked[tag] = (message, holder)
        if holder is not None:
            holder.unacked += 1

    def expect(self, kind: type[Method], channel_id: int) -> Command:
        """Take deliveries up to the answer, which is to be this."""
        command = self.take_deliveries()
        assert command is not None
        assert (type(command.method), command.channel_id) == (kind, channel_id)
        return command

    def give_back(self, messages: list[Message]) -> None:
        """They are ready again, where they were."""
        for message in messages:
            message.redelivered = True
        self.ready = sorted([*self.ready, *messages], key=lambda message: message.position)

    # What clients do

    @rule(channel_id=st.sampled_from(CHANNELS), count=st.integers(1, 5))
    def publish(self, channel_id: int, count: int) -> None:
        octets = bytearray()
        for _ in range(count):
            message = Message(self.published)
            self.published += 1
            self.ready.append(message)
            octets += self.channels[channel_id].client.publish_octets(
                BasicPublish(routing_key=QUEUE), str(message.position).encode()
            )
        self.client.send_octets(bytes(octets))

    @rule(
        channel_id=st.sampled_from(CHANNELS),
        tag=st.sampled_from("abc"),
        no_ack=st.sampled_from((False, False, False, True)),
        priority=st.integers(-1, 1),
    )
    def consume(self, channel_id: int, tag: str, no_ack: bool, priority: int) -> None:
        channel = self.channels[channel_id]
        if tag in channel.consumers:
            self.cancel(channel_id, tag)
            return
        channel.client.send(
            BasicConsume(queue=QUEUE, consumer_tag=tag, no_ack=no_ack, arguments={"x-priority": priority})
        )
        assert isinstance(self.client.inbox.popleft().method, BasicConsumeOk)
        channel.consumers[tag] = Consumer(tag, no_ack, priority, channel.limit)

    @rule(channel_id=st.sampled_from(CHANNELS), tag=st.sampled_from("abc"))
    def cancel(self, channel_id: int, tag: str) -> None:
        channel = self.channels[channel_id]
        channel.client.send(BasicCancel(consumer_tag=tag))
        channel.consumers.pop(tag, None)
        self.expect(BasicCancelOk, channel_id)

    @rule(channel_id=st.sampled_from(CHANNELS), count=st.integers(0, 4), shared=st.booleans())
    def qos(self, channel_id: int, count: int, shared: bool) -> None:
        channel = self.channels[channel_id]
        channel.client.send(BasicQos(prefetch_count=count, global_=shared))
        assert isinstance(self.client.inbox.popleft().method, BasicQosOk)
        if shared:
            channel.shared_limit = count
        else:
            channel.limit, channel.shared_limit = count, 0

    @rule(channel_id=st.sampled_from(CHANNELS), no_ack=st.booleans())
    def get(self, channel_id: int, no_ack: bool) -> None:
        channel = self.channels[channel_id]
        channel.client.send(BasicGet(queue=QUEUE, no_ack=no_ack))
        if not self.ready:
            self.expect(BasicGetEmpty, channel_id)
            return
        command = self.client.inbox.popleft()
        method = command.method
        assert isinstance(method, BasicGetOk)
        assert method.message_count == len(self.ready) - 1
        self.handed_out(channel, command, method.delivery_tag, method.redelivered, None, no_ack)

    @precondition(lambda self: any(channel.unacked for channel in self.channels.values()))
    @rule(
        pick=st.integers(0, 1000),
        way=st.sampled_from(("ack", "ack", "nack", "nack", "discard", "reject", "reject for good")),
        multiple=st.sampled_from((False, False, True)),
        everything=st.sampled_from((False, False, False, True)),
    )
    def settle(self, pick: int, way: str, multiple: bool, everything: bool) -> None:
        candidates = [(channel, tag) for channel in self.channels.values() for tag in sorted(channel.unacked)]
        channel, tag = candidates[pick % len(candidates)]
        multiple = multiple and "reject" not in way
        if multiple and everything:
            tag = 0
        tags = [tag]
        if multiple:
            tags = sorted(each for each in channel.unacked if tag == 0 or each <= tag)
        method: Method
        if way == "ack":
            method = BasicAck(delivery_tag=tag, multiple=multiple)
        elif "reject" in way:
            method = BasicReject(delivery_tag=tag, requeue=way == "reject")
        else:
            method = BasicNack(delivery_tag=tag, multiple=multiple, requeue=way == "nack")
        channel.client.send(method)
        messages = channel.settle(tags)
        if way in ("nack", "reject"):
            self.give_back(messages)
        else:
            self.consumed += len(messages)

    @rule(channel_id=st.sampled_from(CHANNELS))
    def recover(self, channel_id: int) -> None:
        channel = self.channels[channel_id]
        channel.client.send(BasicRecover(requeue=True))
        assert isinstance(self.client.inbox.popleft().method, BasicRecoverOk)
        self.give_back(channel.settle(list(channel.unacked)))

    @rule(channel_id=st.sampled_from(CHANNELS))
    def close(self, channel_id: int) -> None:
        channel = self.channels[channel_id]
        channel.client.send(ChannelClose(reply_code=200))
        self.ended(channel)
        self.expect(ChannelCloseOk, channel_id)
        self.channels[channel_id] = Channel(self.client.channel(channel_id))

    @rule(channel_id=st.sampled_from(CHANNELS), ahead=st.booleans(), multiple=st.booleans())
    def ack_what_is_not_out(self, channel_id: int, ahead: bool, multiple: bool) -> None:
        """The channel fails, with nothing settled."""
        channel = self.channels[channel_id]
        settled = [tag for tag in range(1, channel.next_tag) if tag not in channel.unacked]
        tag = channel.next_tag if ahead or not settled else settled[-1]
        channel.client.send(BasicAck(delivery_tag=tag, multiple=multiple))
        self.ended(channel)
        close = self.expect(ChannelClose, channel_id).method
        assert isinstance(close, ChannelClose)
        assert close.reply_text == f"PRECONDITION_FAILED - unknown delivery tag {tag}"
        channel.client.send(ChannelCloseOk())
        self.take_deliveries()
        self.channels[channel_id] = Channel(self.client.channel(channel_id))

    def ended(self, channel: Channel) -> None:
        channel.consumers.clear()
        self.give_back(channel.settle(list(channel.unacked)))

    @precondition(lambda self: len(self.ready) > 3)
    @rule()
    def purge(self) -> None:
        count = self.inspector.call(QueuePurge(queue=QUEUE), QueuePurgeOk).message_count
        assert count == len(self.ready)
        self.consumed += count
        self.ready.clear()

    # What holds after every step

    @invariant()
    def nothing_else_came_and_nothing_is_missing(self) -> None:
        assert self.take_deliveries() is None
        consumers = [(each, consumer) for each in self.channels.values() for consumer in each.consumers.values()]
        if self.ready:
            assert not any(channel.has_room(consumer) for channel, consumer in consumers)
        assert self.inspector.counts(QUEUE) == (len(self.ready), len(consumers))
        unacked = sum(len(channel.unacked) for channel in self.channels.values())
        assert self.world.broker.vhosts["/"].queues[QUEUE].unacked_count == unacked
        assert len(self.ready) + unacked + self.consumed == self.published

    def teardown(self) -> None:
        if not hasattr(self, "client"):
            return
        self.client.drop()
        for channel in self.channels.values():
            self.ended(channel)
        left = []
        while (delivery := self.inspector.get(QUEUE)) is not None:
            left.append((delivery.body, delivery.redelivered))
        assert left == [(str(message.position).encode(), message.redelivered) for message in self.ready]


@pytest.mark.rule("5.24", "5.26", "5.28", "5.30", "5.34", "5.35", "5.40", "5.42", "5.43", "5.44")
def test_queue_agrees_with_the_model() -> None:
    run_state_machine_as_test(
        QueueMachine,
        settings=settings(max_examples=80, stateful_step_count=40, deadline=None, derandomize=True, database=None),
    )
