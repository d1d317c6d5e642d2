"""The stream type: a log that stays, which every consumer reads for itself from where it likes.

Nothing is taken out by reading, so acks only give credit; what goes, goes by retention. Delivered is what is as safe
as a confirm. Source: rules 4.51 to 4.56; the log itself is `storage.stream_log`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Final

from amqp_broker.errors import entity, not_implemented, precondition_failed
from amqp_broker.message import Message, new_message
from amqp_broker.queues.arguments import QueueOptions
from amqp_broker.queues.consumer import Consumer
from amqp_broker.queues.entry import QueueEntry, new_entry
from amqp_broker.queues.queue import Queue, QueueHooks
from amqp_broker.queues.stream_arguments import FILTER_VALUE, filter_of, offset_of
from amqp_broker.storage.interface import Storage
from amqp_broker.storage.stream_log import Cursor, StreamLimits
from amqp_broker.timers import Timer, Timers
from amqp_codec import Int64, NumberedHeader, Table, add_header, parse_content_header, with_properties
from amqp_codec.properties import FLAG_HEADERS

log = logging.getLogger(__name__)

OFFSET_HEADER: Final = "x-stream-offset"
_OFFSET_OCTETS: Final = OFFSET_HEADER.encode()
_FILTER_OCTETS: Final = FILTER_VALUE.encode()

COMMON_OCTETS: Final = 512
COMMON_HEADERS: Final = 256
"""So many content headers, none longer than that, are remembered: messages of a stream mostly have a few."""

RETRY_S: Final = 1.0
"""How long a consumer waits when the disk refuses to be read."""


class StreamQueue(Queue):
    """A queue with `x-queue-type` stream.

    Attributes:
        log: its messages.
    """

    def __init__(
        self,
        name: str,
        *,
        queue_id: int,
        durable: bool,
        exclusive_owner: object | None,
        auto_delete: bool,
        arguments: Table,
        options: QueueOptions,
        timers: Timers,
        storage: Storage,
        hooks: QueueHooks,
        window_octets: int,
    ) -> None:
        super().__init__(
            name,
            queue_id=queue_id,
            durable=durable,
            exclusive_owner=exclusive_owner,
            auto_delete=auto_delete,
            arguments=arguments,
            options=options,
            timers=timers,
            storage=storage,
            hooks=hooks,
            window_octets=window_octets,
        )
        self._cursors: dict[Consumer, Cursor] = {}
        self._resting: dict[Consumer, None] = {}
        """Consumers that could take messages and have got all there are."""
        self._again: Timer | None = None
        self._retention: Timer | None = None
        self.log = storage.open_stream(queue_id, limits_of(options), message_at, timers.now)
        self.log.on_readable = self._readable
        self._plan_retention()

    @property
    def message_count(self) -> int:
        """Messages that are kept, whoever has read them."""
        return self.log.message_count

    @property
    def first_offset(self) -> int:
        """Offset of the oldest message that is kept; that of the next one if there is none."""
        return self.log.first_offset

    @property
    def last_offset(self) -> int:
        """Offset of the newest message that can be read; one less than `first_offset` if there is none."""
        return self.log.readable_offset - 1

    @property
    def segment_count(self) -> int:
        """Files it is in."""
        return self.log.segment_count

    # Messages in

    def enqueue(self, message: Message) -> bool:
        """Append; consumers get it when it is safe."""
        if self._duplicates is not None and self._turned_away(message) is not None:
            return True
        header = message.header
        value = None
        if header.flags & FLAG_HEADERS and _FILTER_OCTETS in header.raw:
            value = _filter_value(header.properties.headers or {})
        self.counters.publish += 1
        self._storage.stored_count += 1
        self.log.append(message.address, header.raw, message.body, value)
        return True

    # Messages out

    def dispatch(self) -> None:
        """Let every consumer that can take messages have what there is for it."""
        consumers = self.consumers
        while (consumer := consumers.next()) is not None:
            self._feed(consumer)

    def get(self) -> QueueEntry | None:
        """Raise AMQPError 540 (rule 4.51)."""
        raise not_implemented(f"basic.get not supported by stream queues {self._where()}")

    def ack(self, entry: QueueEntry) -> None:  # noqa: ARG002 - nothing is removed
        self.counters.ack += 1
        self.unacked_count -= 1

    def let_go(self, entry: QueueEntry) -> None:  # noqa: ARG002 - nothing is removed
        self.unacked_count -= 1

    def reject(self, entry: QueueEntry) -> None:
        """As an ack: it only gives credit (rule 4.53)."""
        self.let_go(entry)

    def requeue(self, entries: Iterable[QueueEntry], *, failed: bool) -> None:  # noqa: ARG002 - it never left
        """As an ack: it only gives credit (rule 4.53)."""
        for entry in entries:
            self.let_go(entry)

    def purge(self) -> int:
        """Raise AMQPError 540 (rule 4.22)."""
        raise not_implemented(f"queue.purge not supported by stream queues {self._where()}")

    # Consumers

    def check_consumer(self, arguments: Table, *, has_prefetch: bool, no_ack: bool) -> None:
        """Let a consumer begin, if it can. Raises AMQPError 406 or 540 (rules 4.51 and 4.52)."""
        if no_ack:
            raise not_implemented(f"automatic acknowledgement not supported by stream {self._where()}")
        if not has_prefetch:
            raise precondition_failed(f"consumer prefetch count is not set for stream {self._where()}")
        self._offset_for(arguments)

    def add_consumer(self, consumer: Consumer) -> None:
        super().add_consumer(consumer)
        arguments = consumer.arguments
        self._cursors[consumer] = Cursor(self.log, self._offset_for(arguments), filter_of(arguments))

    def consumers_removed(self) -> None:
        there = set(self.consumers)
        self._cursors = {consumer: cursor for consumer, cursor in self._cursors.items() if consumer in there}
        self._resting = {consumer: None for consumer in self._resting if consumer in there}
        super().consumers_removed()

    def delete(self) -> None:
        for timer in (self._again, self._retention):
            if timer is not None:
                timer.cancel()
        super().delete()
        self._cursors.clear()
        self._resting.clear()

    def apply(self, options: QueueOptions) -> None:
        """Go by other limits from now on (rule 8.6)."""
        super().apply(options)
        self.log.limits = limits_of(options)
        self._retain()

    # Helpers

    def _readable(self) -> None:
        """There is more to read: those who had read all go on."""
        resting, self._resting = self._resting, {}
        for consumer in resting:
            self.consumers.unblock(consumer)
        if resting:
            self.dispatch()
        if self._retention is None or not self._retention.is_planned:
            self._plan_retention()

    def _feed(self, consumer: Consumer) -> None:
        """Give a consumer messages until it has enough or all, or its turn is over."""
        cursor = self._cursors[consumer]
        try:
            while consumer.can_take():
                message = cursor.next()
                if message is None:
                    self._pause(consumer, 0.0 if cursor.is_pausing else None)
                    return
                consumer.deliver(new_entry(None, self, cursor.offset - 1), message)
                self.unacked_count += 1
        except BlockingIOError:
            self._pause(consumer, None)
        except OSError as error:
            log.error("a message of stream %r can't be read, to be tried again: %s", self.name, error)
            self._pause(consumer, RETRY_S)

    def _pause(self, consumer: Consumer, delay_s: float | None) -> None:
        """Nothing for this consumer now: until there is more to read, or for a time."""
        self.consumers.leave_rotation(consumer)
        self._resting[consumer] = None
        if delay_s is not None and (self._again is None or not self._again.is_planned):
            self._again = self._timers.after(delay_s, self._readable)

    def _offset_for(self, arguments: Table) -> int:
        return offset_of(arguments, self.log, self._timers.now(), self._where())

    def _plan_retention(self) -> None:
        due = self.log.next_retention()
        if due is not None:
            self._retention = self._timers.at(due, self._retain)

    def _retain(self) -> None:
        self.log.retain()
        if self._retention is not None:
            self._retention.cancel()
        self._plan_retention()

    def _where(self) -> str:
        return entity("queue", self.name, self._hooks.vhost)


def limits_of(options: QueueOptions) -> StreamLimits:
    """What the arguments say of how much is kept."""
    filter_octets = options.filter_octets or StreamLimits().filter_octets
    return StreamLimits(options.max_length_octets, options.max_age_s, options.segment_octets, filter_octets)


def message_at(offset: int, address: bytes, raw: bytes, body: bytes) -> Message:
    """Make what consumers get: the message with its offset in a header (rule 4.52)."""
    if len(raw) <= COMMON_OCTETS and (numbered := _numbered(raw)) is not None:
        return new_message(address, numbered.header_of(offset), body)
    if _OFFSET_OCTETS in raw:
        header = parse_content_header(raw)
        headers: Table = {**(header.properties.headers or {}), OFFSET_HEADER: Int64(offset)}
        return new_message(address, with_properties(header, replace(header.properties, headers=headers)), body)
    return new_message(address, add_header(raw, OFFSET_HEADER, offset), body)


@lru_cache(COMMON_HEADERS)
def _numbered(raw: bytes) -> NumberedHeader | None:
    """A header that is likely to come again, ready for its offsets; None if it has one of its own."""
    return None if _OFFSET_OCTETS in raw else NumberedHeader(raw, OFFSET_HEADER)


def _filter_value(headers: Table) -> bytes | None:
    value = headers.get(FILTER_VALUE)
    return value if isinstance(value, bytes) else None
