"""The table of keys on a key-value bucket of JetStream: `cluster.log.KeyValue`."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

from nats.errors import Error as NatsError

from amqp_broker.cluster.jetstream import STEPS, WRONG_LAST_SEQUENCE, get_message, make_stream
from amqp_broker.cluster.log import Conflict, LogUnavailable, Watcher
from amqp_broker.cluster.nats import Nats
from amqp_broker.cluster.reading import Reader, Stored
from amqp_broker.cluster.session import ApiError, checked, within

log = logging.getLogger(__name__)

POLL_S: Final = 1.5
DUE_S: Final = 0.7
"""Where brokers are there is news twice a second: whoever was told nothing for so long asks."""
RETRY_S: Final = 0.5

DELETIONS: Final = ("DEL", "PURGE")


class Bucket:
    """One table for all brokers of a cluster.

    Args:
        nats: who has it.
        name: the bucket's.
        replicas: see `StreamLog`.
    """

    def __init__(self, nats: Nats, name: str, replicas: int | None = None) -> None:
        self._nats = nats
        self._stream = f"KV_{name}"
        self._prefix = f"$KV.{name}."
        self._replicas = replicas

    def open(self) -> None:
        """Make the bucket unless it is there. Raises LogUnavailable."""
        making = make_stream(
            self._nats,
            self._stream,
            f"{self._prefix}>",
            self._replicas,
            max_msgs_per_subject=1,
            allow_rollup_hdrs=True,
            deny_delete=True,
            allow_direct=True,
        )
        self._nats.call(making)

    def put(self, key: str, value: bytes) -> int:
        """See `KeyValue.put`."""
        return self._nats.call(self._set(key, value, None))

    def create(self, key: str, value: bytes) -> int:
        """See `KeyValue.create`."""
        return self._nats.call(self._create(key, value))

    def update(self, key: str, value: bytes, revision: int) -> int:
        """See `KeyValue.update`."""
        return self._nats.call(self._set(key, value, revision))

    def delete(self, key: str, revision: int | None = None) -> int:
        """See `KeyValue.delete`."""
        return self._nats.call(self._set(key, None, revision))

    def items(self) -> dict[str, tuple[bytes, int]]:
        """All keys there are, with value and revision. Raises LogUnavailable."""
        return self._nats.call(self._items())

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """See `KeyValue.watch`. What the watcher raises ends it, with a line in the log."""
        stopping = threading.Event()
        self._nats.start_soon(partial(self._watch, watcher, stopping))
        return stopping.set

    async def _set(self, key: str, value: bytes | None, revision: int | None) -> int:
        headers = {"Nats-Expected-Stream": self._stream}
        if revision is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(revision)
        if value is None:
            headers["KV-Operation"] = "DEL"
        answer = await self._nats.session.ask(f"{self._prefix}{key}", value or b"", headers)
        try:
            return int(checked(await within(answer))["seq"])
        except ApiError as error:
            if error.code in WRONG_LAST_SEQUENCE:
                raise Conflict(f"{key}: {error}") from None
            raise

    async def _create(self, key: str, value: bytes) -> int:
        try:
            return await self._set(key, value, 0)
        except Conflict:
            last = await self._last(key)
            if last is None or not last[1]:
                raise
            return await self._set(key, value, last[0])

    async def _last(self, key: str) -> tuple[int, bool] | None:
        """The revision of what is said last of a key, and whether that is its deletion."""
        message = await get_message(self._nats, self._stream, last_by_subj=f"{self._prefix}{key}")
        return None if message is None else (int(message["seq"]), _says_deletion(message))

    async def _items(self) -> dict[str, tuple[bytes, int]]:
        reader = Reader(self._nats, self._stream, f"{self._prefix}>", only_last=True)
        items: dict[str, tuple[bytes, int]] = {}
        after = 0
        try:
            pending = await reader.open(after)
            while pending:
                came = await reader.read(after, POLL_S)
                if not came:
                    raise LogUnavailable("JetStream is silent about the rest of the keys")
                for each in came:
                    self._note(each, items)
                after, pending = came[-1].sequence, came[-1].pending
        finally:
            await reader.close()
        return items

    def _note(self, stored: Stored, items: dict[str, tuple[bytes, int]]) -> None:
        key = stored.subject[len(self._prefix) :]
        if is_deletion(stored):
            items.pop(key, None)
        else:
            items[key] = (stored.data, stored.sequence)

    async def _watch(self, watcher: Watcher, stopping: threading.Event) -> None:
        reader = Reader(self._nats, self._stream, f"{self._prefix}>", only_last=True)
        told = position = 0
        reading = asyncio.create_task(self._read(reader, position, 0.0))
        while not stopping.is_set():
            await asyncio.wait([reading], timeout=DUE_S)
            came: list[Stored] = []
            if reading.done():
                came, pause_s = reading.result(), 0.0
                if came:
                    position = came[-1].sequence
                else:
                    # A consumer can be with a server that has fallen behind, which gives nothing, and signs of life.
                    await reader.close()
                    position, pause_s = told, RETRY_S
                reading = asyncio.create_task(self._read(reader, position, pause_s))
            for each in came or await self._from_leader(told):
                if each.sequence <= told:
                    continue
                told = each.sequence
                value = None if is_deletion(each) else each.data
                try:
                    watcher(each.subject[len(self._prefix) :], value, each.sequence)
                except Exception:
                    log.exception("internal error while following keys")
                    return
        reading.cancel()
        await reader.close()

    async def _read(self, reader: Reader, after: int, pause_s: float) -> list[Stored]:
        """What a consumer has, empty if it has nothing, or there can be none."""
        await asyncio.sleep(pause_s)
        try:
            return await reader.read(after, POLL_S)
        except (LogUnavailable, NatsError) as error:
            log.debug("keys can't be followed: %s", error)
            return []

    async def _next(self, after: int) -> dict[str, Any] | None:
        return await get_message(self._nats, self._stream, seq=after + 1, next_by_subj=f"{self._prefix}>")

    async def _from_leader(self, after: int) -> list[Stored]:
        """What comes after a revision, as the stream's leader has it; empty if that does not answer.

        To make a consumer takes a leader of all of NATS, which may be away for as long as a node is taken for dead.
        """
        found: list[Stored] = []
        with suppress(LogUnavailable):
            while len(found) < STEPS and (message := await self._next(after)):
                after = int(message["seq"])
                headers = {"KV-Operation": DELETIONS[0]} if _says_deletion(message) else {}
                data = base64.b64decode(message.get("data", ""))
                found.append(Stored(after, str(message["subject"]), data, headers, pending=0))
        return found


def is_deletion(stored: Stored) -> bool:
    """Whether an entry of a bucket says that its key is gone."""
    return stored.headers.get("KV-Operation") in DELETIONS


def _says_deletion(message: dict[str, Any]) -> bool:
    """The same of one as its stream's leader gives it."""
    headers = base64.b64decode(message.get("hdrs", ""))
    return any(b"KV-Operation: " + kind.encode() in headers for kind in DELETIONS)
