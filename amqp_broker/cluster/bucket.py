"""The table of keys on a key-value bucket of JetStream: `cluster.log.KeyValue`."""

from __future__ import annotations

import asyncio
import base64
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from nats.errors import Error as NatsError

from amqp_broker.cluster.jetstream import MESSAGE_NOT_FOUND, WRONG_LAST_SEQUENCE, make_stream
from amqp_broker.cluster.log import Conflict, LogUnavailable, Watcher
from amqp_broker.cluster.nats import ApiError, Nats, checked, within
from amqp_broker.cluster.reading import Reader, Stored

log = logging.getLogger(__name__)

POLL_S: Final = 1.5
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
        request = {"last_by_subj": f"{self._prefix}{key}"}
        try:
            message = (await self._nats.api(f"STREAM.MSG.GET.{self._stream}", request))["message"]
        except ApiError as error:
            if error.code == MESSAGE_NOT_FOUND:
                return None
            raise
        headers = base64.b64decode(message.get("hdrs", ""))
        return int(message["seq"]), any(b"KV-Operation: " + kind.encode() in headers for kind in DELETIONS)

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
        after = 0
        while not stopping.is_set():
            try:
                came = await reader.read(after, POLL_S)
            except (LogUnavailable, NatsError) as error:
                log.debug("keys can't be followed: %s", error)
                await asyncio.sleep(RETRY_S)
                continue
            if not came:
                # Where brokers are there is news twice a second. A consumer can be with a server that has fallen
                # behind, which gives nothing, and signs of life.
                await reader.close()
            for each in came:
                after = each.sequence
                value = None if is_deletion(each) else each.data
                try:
                    watcher(each.subject[len(self._prefix) :], value, each.sequence)
                except Exception:
                    log.exception("internal error while following keys")
                    return
        await reader.close()


def is_deletion(stored: Stored) -> bool:
    """Whether an entry of a bucket says that its key is gone."""
    return stored.headers.get("KV-Operation") in DELETIONS
