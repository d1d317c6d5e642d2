"""How a stream of JetStream is read in order.

Through a consumer that is nobody's but the reader's, and is made anew, from where the reader is, whenever anything is
not as it should be.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Final

import attrs
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from amqp_broker.cluster.nats import Nats
from amqp_broker.cluster.session import Session

PULL_ENTRIES: Final = 512
PULL_OCTETS: Final = 8 << 20
PULL_S: Final = 5.0
HEARTBEAT_S: Final = 1.0
SILENCE_S: Final = 3.0
"""A server that owes entries or heartbeats is not waited for longer."""
CONSUMER_IDLE_S: Final = 30.0
"""A consumer that nobody pulls from is forgotten by the server."""

_PULL: Final = b'{"batch":%d,"max_bytes":%d,"expires":%d,"idle_heartbeat":%d}'
_WAITING: Final = (PULL_OCTETS, PULL_S * 1e9, HEARTBEAT_S * 1e9)
_PULL_ALL: Final = _PULL % (PULL_ENTRIES, *_WAITING)
_PULL_ONE: Final = _PULL % (1, *_WAITING)
_PULL_NOW: Final = b'{"batch":%d,"max_bytes":%d,"no_wait":true}' % (PULL_ENTRIES, PULL_OCTETS)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)


@attrs.frozen
class Stored:
    """An entry of a stream.

    Attributes:
        pending: how many there were behind it when it was sent.
    """

    sequence: int
    subject: str
    data: bytes
    headers: dict[str, str]
    pending: int


class Reader:
    """Reads a stream in order; to be used in the loop, by one at a time.

    Args:
        name: the stream's.
        subjects: those wanted, all without it.
        only_last: of what is there at first, only the last of each subject.
        is_lazy: what has gathered between two reads is sent at the second, and only who finds nothing then is told at
            once; without it each entry is sent as it comes, which is dearer for all where many come.
    """

    def __init__(
        self, nats: Nats, name: str, subjects: str | None = None, *, only_last: bool = False, is_lazy: bool = False
    ) -> None:
        self._nats = nats
        self._name = name
        self._subjects = subjects
        self._only_last = only_last
        self._is_lazy = is_lazy
        self._consumer: _Consumer | None = None

    async def open(self, after: int) -> int:
        """Be ready to read what comes after a sequence; gives how much there is. Raises LogUnavailable."""
        await self.close()
        self._consumer, pending = await self._new_consumer(after)
        return pending

    async def read(self, after: int, wait_s: float) -> list[Stored]:
        """What comes after a sequence; empty when nothing came in time.

        Raises:
            LogUnavailable: it can't be read at present.
        """
        consumer = self._consumer
        if consumer is None or consumer.is_broken or consumer.position != after:
            await self.open(after)
            consumer = self._consumer
            assert consumer is not None
        return await consumer.read(wait_s)

    def interrupt(self) -> None:
        """Have a `read` that waits return at once."""
        if self._consumer is not None:
            self._consumer.interrupt()

    async def close(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            await consumer.close()

    async def _new_consumer(self, after: int) -> tuple[_Consumer, int]:
        session = self._nats.session
        config: dict[str, Any] = {
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": _ns(CONSUMER_IDLE_S),
            "max_waiting": 4,
        }
        if self._subjects is not None:
            config["filter_subject"] = self._subjects
        if after:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": after + 1}
        else:
            config["deliver_policy"] = "last_per_subject" if self._only_last and self._subjects else "all"
        made = await self._nats.api(f"CONSUMER.CREATE.{self._name}", {"stream_name": self._name, "config": config})
        consumer = _Consumer(session, self._name, str(made["name"]), after, is_lazy=self._is_lazy)
        await consumer.open()
        return consumer, int(made.get("num_pending", 0))


class _Consumer:
    """A consumer of JetStream, pulled from.

    Attributes:
        position: the sequence up to which `read` has given entries.
        is_broken: it is of no more use.
    """

    def __init__(self, session: Session, stream: str, name: str, position: int, *, is_lazy: bool) -> None:
        self.position = position
        self.is_broken = False
        self._session = session
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}"
        self._inbox = session.client.new_inbox()
        self._subscription: Subscription | None = None
        self._came: deque[Msg] = deque()
        self._something = asyncio.Event()
        self._count = 0
        self._owed = 0
        """How many entries the server may send without being asked again."""
        self._is_interrupted = False
        self._is_lazy = is_lazy
        self._has_all = False
        """There was nothing more when the server was last asked."""

    async def open(self) -> None:
        self._session.on_over.add(self.interrupt)
        self._subscription = await self._session.client.subscribe(self._inbox, cb=self._take)

    async def close(self) -> None:
        self._session.on_over.discard(self.interrupt)
        if self._subscription is not None and not self._session.over.is_set():
            with suppress(NatsError):
                await self._subscription.unsubscribe()

    def interrupt(self) -> None:
        self._is_interrupted = True
        self._something.set()

    async def _take(self, message: Msg) -> None:
        self._came.append(message)
        self._something.set()

    async def read(self, wait_s: float) -> list[Stored]:
        """What has come; nothing where nothing comes in time."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + wait_s
        heard_at = loop.time()
        read: list[Stored] = []
        self._is_interrupted = False
        while True:
            if not self._owed:
                await self._pull()
            while self._came:
                heard_at = loop.time()
                self._look_at(self._came.popleft(), read)
            if read:
                self.position = read[-1].sequence
                return read
            if self._session.over.is_set() or loop.time() - heard_at > SILENCE_S:
                self.is_broken = True
            left_s = ends_at - loop.time()
            if self.is_broken or self._is_interrupted or left_s <= 0:
                return read
            if not self._owed:
                continue
            self._something.clear()
            try:
                await asyncio.wait_for(self._something.wait(), min(left_s, SILENCE_S))
            except TimeoutError:
                continue

    async def _pull(self) -> None:
        """Ask for more."""
        self._owed, request = PULL_ENTRIES, _PULL_ALL
        if self._is_lazy and self._has_all:
            self._owed, request = 1, _PULL_ONE
        elif self._is_lazy:
            request = _PULL_NOW
        await self._session.tell(self._subject, request, reply=self._inbox)

    def _look_at(self, message: Msg, read: list[Stored]) -> None:
        """Sort what came: an entry, a sign of life, or the end of a pull."""
        headers = message.headers or {}
        fields = message.reply.split(".")
        if len(fields) < 9 or fields[:2] != ["$JS", "ACK"]:
            status = headers.get("Status")
            if status != "100":
                self._owed = 0
            if status == "404":
                self._has_all = True
            elif status not in ("100", "408", "409") or "Consumer Deleted" in headers.get("Description", ""):
                self.is_broken = True
            elif status == "409" and not any(word in headers.get("Description", "") for word in ("Max", "Completed")):
                self.is_broken = True  # its server, or its leader, goes away
            return
        sequence, count, _, pending = (int(field) for field in fields[-4:])
        if self.is_broken or count != self._count + 1:
            self.is_broken = True  # something got lost
            return
        self._count = count
        self._has_all = False
        self._owed = max(0, self._owed - 1)
        read.append(Stored(sequence, message.subject, message.data, headers, pending))
