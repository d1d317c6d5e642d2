"""The log of a vhost as JetStream streams, its lanes.

A stream is kept in files, on three servers where NATS is a cluster. What is appended states the sequence it expects,
so of two who append one is refused. A stream whose leader dies takes nothing until NATS has elected another one, which
lasts 4 to 9 s: hence several.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import secrets
import uuid
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from functools import partial
from typing import Any, Final, TypeVar

from amqp_broker.cluster.lane import LANES
from amqp_broker.cluster.lanes import LanedLog
from amqp_broker.cluster.log import Entry, LogUnavailable, OutOfTurn
from amqp_broker.cluster.nats import Nats
from amqp_broker.cluster.reading import Reader
from amqp_broker.cluster.session import Answer, ApiError, checked, within

log = logging.getLogger(__name__)

T = TypeVar("T")

REPLICAS: Final = 3

BATCH_OCTETS: Final = 8 << 20
BATCH_ENTRIES: Final = 500
"""What is appended as one. A server takes a thousand, and refuses when more than 128 MiB wait of all who write."""

KNOWN_S: Final = 1.0
"""For an entry that is there to come."""
ANSWER_S: Final = 1.0
OCTETS_A_SECOND: Final = 4 << 20
"""For an answer of a lane, before another one is asked: so long, and for an append as long as its octets may take."""
STEPS: Final = 256
"""How many entries are asked for one by one."""
DOUBT_S: Final = 3.0
"""How often to ask whether it is true that there is nothing to be read."""

STREAM_NOT_FOUND: Final = 10059
WRONG_LAST_SEQUENCE: Final = (10071, 10164)
MESSAGE_NOT_FOUND: Final = 10037
NAME_IN_USE: Final = 10058


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut a long append into pieces."""
    first = octets = 0
    for number, entry in enumerate(entries):
        if number > first and (octets + len(entry.data) > BATCH_OCTETS or number - first == BATCH_ENTRIES):
            yield entries[first:number]
            first, octets = number, 0
        octets += len(entry.data)
    if first < len(entries):
        yield entries[first:]


async def make_stream(nats: Nats, name: str, subjects: str, replicas: int | None, **more: object) -> dict[str, Any]:
    """Make a stream unless it is there; gives what JetStream says of it. Raises LogUnavailable."""
    wanted = replicas or (REPLICAS if nats.session.is_clustered else 1)
    config: dict[str, Any] = {
        "name": name,
        "subjects": [subjects],
        "storage": "file",
        "retention": "limits",
        "discard": "new",
        "num_replicas": wanted,
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_age": 0,
        "max_msg_size": -1,
        "duplicate_window": int(0.1e9),  # sequences tell what is there twice
        **more,
    }
    try:
        info = await nats.api(f"STREAM.INFO.{name}")
    except ApiError as error:
        if error.code != STREAM_NOT_FOUND:
            raise
        try:
            info = await nats.api(f"STREAM.CREATE.{name}", config)
        except ApiError as refusal:
            if refusal.code != NAME_IN_USE:  # else somebody was faster
                raise
            info = await nats.api(f"STREAM.INFO.{name}")
    if info["config"]["num_replicas"] < wanted:
        log.warning("stream %s has %d replicas, not %d", name, info["config"]["num_replicas"], wanted)
    return info


async def get_message(nats: Nats, stream: str, **which: object) -> dict[str, Any] | None:
    """An entry, as the leader of its stream has it, in JetStream's form; None if it is not there.

    Raises:
        LogUnavailable: no answer came.
    """
    try:
        message: dict[str, Any] = (await nats.api(f"STREAM.MSG.GET.{stream}", which, ANSWER_S))["message"]
    except ApiError as error:
        if error.code == MESSAGE_NOT_FOUND:
            return None
        raise
    return message


class StreamLog:
    """A lane on a stream: `cluster.lane.Lane`.

    Args:
        nats: who has it.
        name: the stream's.
        replicas: on how many servers, None for as many as there are, three at most.
    """

    def __init__(self, nats: Nats, name: str, replicas: int | None = None) -> None:
        self.name = name
        self._nats = nats
        self._replicas = replicas
        self._identity = ""
        self._is_broken_off = False
        self._doubt_at = 0.0
        self._led_by = ""
        self._reads: set[asyncio.Event] = set()
        self._reader = Reader(nats, name, is_lazy=True)

    def open(self) -> None:
        """Make the stream unless it is there. Raises LogUnavailable."""
        self._nats.call(self.make())

    async def make(self) -> None:
        """The same, in the loop."""
        made = await make_stream(
            self._nats, self.name, f"{self.name}.*", self._replicas, allow_atomic=True, allow_direct=True
        )
        if not made["config"].get("allow_atomic"):
            raise LogUnavailable(f"stream {self.name} takes no atomic batches; NATS 2.12 or later is needed")
        self._identity = str(made["created"])

    @property
    def identity(self) -> str:
        """When the stream was made, in words of JetStream; known once it is open."""
        return self._identity

    def append(self, entries: Sequence[Entry], expected: int) -> int:
        """See `Log.append`."""
        self._check()
        for batch in _batches(entries):
            expected = self._append(batch, expected)
        return expected

    def read(self, after: int, wait_s: float) -> list[tuple[int, Entry]]:
        """See `Log.read`."""
        return self._nats.call(self._interruptible(self._read(after, wait_s)))

    def interrupt(self) -> None:
        """Have a `read` that waits for anything return at once; from any thread."""
        self._nats.call_soon(self._interrupt)

    def last(self) -> int:
        """The sequence of the last entry, purged or not. Raises LogUnavailable."""
        return self._call(self._last())

    def tail(self) -> tuple[int, Entry | None]:
        """See `Lane.tail`."""
        return self._call(self._tail())

    def peek(self, after: int) -> tuple[int, Entry] | None:
        """See `Lane.peek`."""
        return self._call(self._next(after))

    def leader(self) -> str:
        """See `Lane.leader`."""
        return self._call(self._leader())

    def is_near(self) -> bool:
        """See `Lane.is_near`: what is appended takes a hop less then, and so does the answer."""
        try:
            return self._led_by == self._nats.session.server
        except LogUnavailable:
            return False

    def move_leader(self, away_from: set[str]) -> None:
        """See `Lane.move_leader`."""
        self._call(self._move_leader(away_from))

    def subjects(self) -> dict[str, int]:
        """See `Log.subjects`."""
        return self._call(self._subjects())

    def purge(self, subject: str, before: int) -> None:
        """See `Log.purge`."""
        request = {"filter": f"{self.name}.{subject}", "seq": before}
        self._call(self._nats.api(f"STREAM.PURGE.{self.name}", request))

    def delete(self) -> None:
        """Delete the stream with all that is in it; one that is not there is no error. Raises LogUnavailable."""
        try:
            self._nats.call(self._nats.api(f"STREAM.DELETE.{self.name}"))
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                raise

    def close(self) -> None:
        """Give up reading."""
        self._nats.call(self._reader.close())

    def break_off(self) -> None:
        """Have all calls fail, reads that wait as well, until `mend`; from any thread."""
        self._is_broken_off = True
        self.interrupt()

    def mend(self) -> None:
        """Take calls again."""
        self._is_broken_off = False

    def _interrupt(self) -> None:
        for interrupted in self._reads:
            interrupted.set()

    def _check(self) -> None:
        if self._is_broken_off:
            raise LogUnavailable(f"{self.name}: broken off")

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return self._nats.call(self._noted(work))

    async def _noted(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something that does not last."""
        error: LogUnavailable | None = None
        with closing(work):
            self._check()
            try:
                return await work
            except LogUnavailable as refusal:
                error = refusal
                raise
            finally:
                self._nats.note(error)

    async def _interruptible(self, read: Coroutine[Any, Any, list[T]]) -> list[T]:
        """Read, which may last, be it that a consumer can't be made."""
        interrupted = asyncio.Event()
        self._reads.add(interrupted)
        task = asyncio.create_task(self._noted(read))
        watch = asyncio.create_task(interrupted.wait())
        try:
            await asyncio.wait((task, watch), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            self._check()
            return []
        finally:
            self._reads.discard(interrupted)
            watch.cancel()
            while not task.done():  # wait_for of Python 3.11 can swallow it
                task.cancel()
                await asyncio.wait((task,), timeout=0.01)
            if not task.cancelled():
                task.exception()  # nobody wants to know

    def _append(self, batch: Sequence[Entry], expected: int) -> int:
        """Append all of it or nothing.

        Entries that each state a sequence of their own would not do: where somebody else has appended one, the first of
        ours is refused, and the second is just what is expected then.
        """
        patience_s = ANSWER_S + sum(len(entry.data) for entry in batch) / OCTETS_A_SECOND
        try:
            acknowledged = checked(self._nats.ask(partial(self._send, batch, expected), patience_s))
        except ApiError as error:
            if error.code in WRONG_LAST_SEQUENCE:
                raise OutOfTurn(f"{self.name}: {error}") from None
            raise
        last = expected + len(batch)
        if int(acknowledged["seq"]) != last:
            raise LogUnavailable(f"{self.name}: {last} was appended as {acknowledged['seq']}")
        return last

    async def _send(self, batch: Sequence[Entry], expected: int, answer: Future[Answer]) -> None:
        """Send a batch whose last entry is answered."""
        session = self._nats.session
        headers = {"Nats-Expected-Last-Sequence": str(expected), "Nats-Expected-Stream": self.name}
        batch_id = uuid.uuid4().hex if len(batch) > 1 else ""
        for number, entry in enumerate(batch, 1):
            if batch_id:
                headers |= {"Nats-Batch-Id": batch_id, "Nats-Batch-Sequence": str(number)}
            subject = f"{self.name}.{entry.subject}"
            if number < len(batch):
                await session.tell(subject, entry.data, headers)
                headers = {}
                continue
            if batch_id:
                headers["Nats-Batch-Commit"] = "1"
            await session.tell(subject, entry.data, headers, session.expect(answer))

    async def _read(self, after: int, wait_s: float) -> list[tuple[int, Entry]]:
        if wait_s <= 0:
            return await self._read_now(after)
        try:
            read = await self._from_consumer(after, wait_s)
        except LogUnavailable:  # to make one takes a leader of all of NATS
            if not (found := await self._from_leader(after, await self._last())):
                await asyncio.sleep(wait_s)
            return found
        now = asyncio.get_running_loop().time()
        if not read and now >= self._doubt_at:
            # A consumer can be with a server that has fallen behind, which gives nothing, and signs of life.
            self._doubt_at = now + DOUBT_S
            if await self._last() > after:
                await self._reader.close()
                return await self._read_now(after)
        return read

    async def _read_now(self, after: int) -> list[tuple[int, Entry]]:
        """Some of what has been appended so far, also of what a consumer has not heard of."""
        try:
            last = await self._last()
        except LogUnavailable:
            if found := await self._from_replica(after):
                return found
            raise
        if last <= after:
            return []
        if last - after > STEPS:
            with suppress(LogUnavailable):
                if read := await self._from_consumer(after, KNOWN_S):
                    return read
        return await self._from_leader(after, last)

    async def _from_consumer(self, after: int, wait_s: float) -> list[tuple[int, Entry]]:
        prefix = len(self.name) + 1
        stored = await self._reader.read(after, wait_s)
        return [(each.sequence, Entry(each.subject[prefix:], each.data)) for each in stored]

    async def _from_leader(self, after: int, last: int) -> list[tuple[int, Entry]]:
        """Ask for one entry after the other, `STEPS` at the most.

        The leader of a stream has all of it, and to make a consumer takes a leader of all of NATS as well.
        """
        found: list[tuple[int, Entry]] = []
        while after < last and len(found) < STEPS and (following := await self._next(after)) is not None:
            found.append(following)
            after = following[0]
        return found

    async def _from_replica(self, after: int) -> list[tuple[int, Entry]]:
        """The same from whichever replica answers, which may not have all that is there yet.

        Who takes a vhost over from an owner that has ended in order needs what that one wrote last, and nothing else of
        a lane that has lost its leader since.
        """
        found: list[tuple[int, Entry]] = []
        with suppress(LogUnavailable):
            while len(found) < STEPS:
                request = json.dumps({"seq": after + 1, "next_by_subj": f"{self.name}.*"}).encode()
                answer = await within(
                    await self._nats.session.ask(f"$JS.API.DIRECT.GET.{self.name}", request), ANSWER_S
                )
                if "Nats-Sequence" not in answer.headers:
                    break
                after = int(answer.headers["Nats-Sequence"])
                found.append((after, Entry(answer.headers["Nats-Subject"][len(self.name) + 1 :], answer.data)))
        return found

    async def _next(self, after: int) -> tuple[int, Entry] | None:
        """What follows a sequence, of what the leader has."""
        message = await get_message(self._nats, self.name, seq=after + 1, next_by_subj=f"{self.name}.*")
        if message is None:
            return None
        data = base64.b64decode(message.get("data", ""))
        return int(message["seq"]), Entry(str(message["subject"])[len(self.name) + 1 :], data)

    async def _last(self) -> int:
        return int((await self._info())["state"]["last_seq"])

    async def _tail(self) -> tuple[int, Entry | None]:
        state = (await self._info())["state"]
        last = int(state["last_seq"])
        if not state["messages"]:
            return last, None
        found = await self._next(last - 1)
        if found is None or found[0] != last:
            raise LogUnavailable(f"{self.name}: its last entry, {last}, is not there, or not with who answers")
        return found

    async def _leader(self) -> str:
        cluster = (await self._info()).get("cluster", {})
        self._led_by = str(cluster.get("leader", ""))
        return self._led_by if cluster.get("replicas") else ""

    async def _move_leader(self, away_from: set[str]) -> None:
        cluster = (await self._info()).get("cluster", {})
        healthy = {each["name"] for each in cluster.get("replicas", ()) if each["current"] and not each.get("offline")}
        fit = sorted(healthy - away_from)
        if cluster.get("leader") in away_from and fit:
            request = {"placement": {"preferred": secrets.choice(fit)}}
            await self._nats.api(f"STREAM.LEADER.STEPDOWN.{self.name}", request, ANSWER_S)

    async def _info(self) -> dict[str, Any]:
        return await self._nats.api(f"STREAM.INFO.{self.name}", None, ANSWER_S)

    async def _subjects(self) -> dict[str, int]:
        prefix = len(self.name) + 1
        found: dict[str, int] = {}
        while True:
            request = {"subjects_filter": f"{self.name}.*", "offset": len(found)}
            info = await self._nats.api(f"STREAM.INFO.{self.name}", request)
            there: dict[str, int] = info["state"].get("subjects") or {}
            found |= {subject[prefix:]: count for subject, count in there.items()}
            if not there or len(found) >= int(info.get("total", 0)):
                return found


class StreamLanes(LanedLog):
    """The log of one vhost.

    Args:
        nats: who has it.
        name: what the names of its streams begin with.
        replicas: see `StreamLog`.
    """

    def __init__(self, nats: Nats, name: str, replicas: int | None = None) -> None:
        self._nats = nats
        self._streams = [StreamLog(nats, f"{name}-{number}", replicas) for number in range(LANES)]
        super().__init__(*self._streams)

    def open(self) -> None:
        """Make the streams unless they are there. Raises LogUnavailable."""
        self._nats.call(self._make())

    async def _make(self) -> None:
        await asyncio.gather(*(stream.make() for stream in self._streams))

    def delete(self) -> None:
        """Delete all of it. Raises LogUnavailable."""
        for stream in self._streams:
            stream.delete()

    def close(self) -> None:
        """Give up reading."""
        for stream in self._streams:
            stream.close()

    def break_off(self) -> None:
        """Have all calls fail, those under way as well, until `mend`; from any thread."""
        for stream in self._streams:
            stream.break_off()

    def mend(self) -> None:
        """Take calls again."""
        for stream in self._streams:
            stream.mend()
