"""Message deduplication: what has been seen is not let through again (rules 3.37, 3.38 and 4.59).

Serves exchanges and queues alike. What is remembered is bounded, and forgotten at a restart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import blake2b
from typing import Final

from amqp_broker.errors import precondition_failed
from amqp_broker.routing.values import canonical
from amqp_codec import ByteArray, Properties, Table

DEDUPLICATION: Final = "x-message-deduplication"
CACHE_SIZE: Final = "x-cache-size"
CACHE_TTL: Final = "x-cache-ttl"
DEDUPLICATION_HEADER: Final = "x-deduplication-header"

DEFAULT_SIZE: Final = 128
LARGEST_SIZE: Final = 1_000_000
"""Above it a cache is as large as this: what one declaration can make the broker remember has an end."""

LONGEST_NUMBER: Final = 18
"""Digits."""

LARGEST_KEY_OCTETS: Final = 1024
"""A longer value is remembered by a hash of it."""


class Duplicates:
    """The values of a header that have been seen, the oldest forgotten first.

    Attributes:
        count: messages found to be duplicates.
    """

    def __init__(self, size: int, ttl_ms: int | None, header: str, now: Callable[[], float]) -> None:
        self.count = 0
        self._size = size
        self._ttl_ms = ttl_ms
        self._header = header
        self._now = now
        self._seen: OrderedDict[Hashable, float | None] = OrderedDict()
        """Until when each is remembered, None for as long as there is room."""

    def __len__(self) -> int:
        return len(self._seen)

    def key_of(self, properties: Properties) -> Hashable | None:
        """What a message is known by; None for one that is always new."""
        value = None if properties.headers is None else properties.headers.get(self._header)
        if value is None:
            return None
        if isinstance(value, bytes) and len(value) > LARGEST_KEY_OCTETS:
            return _digest(value)
        key = canonical(value)
        return _digest(repr(key).encode()) if isinstance(key, tuple) else key

    def has(self, key: Hashable) -> bool:
        """Whether a message is a duplicate: its key has been seen, and is to be remembered still."""
        is_there = self.remembers(key)
        self.count += is_there
        return is_there

    def remembers(self, key: Hashable) -> bool:
        """The same, asked for no message."""
        if key not in self._seen:
            return False
        until = self._seen[key]
        if until is not None and until <= self._now():
            del self._seen[key]
            return False
        return True

    def add(self, key: Hashable, properties: Properties) -> None:
        """Remember; for as long as the message's own `x-cache-ttl` says, if it has one."""
        ttl_ms = self._ttl_ms
        own = None if properties.headers is None else properties.headers.get(CACHE_TTL)
        if isinstance(own, int) and not isinstance(own, bool) and own >= 0:
            ttl_ms = int(own)
        self._seen[key] = None if ttl_ms is None else self._now() + ttl_ms / 1000
        if len(self._seen) > self._size:
            self._seen.popitem(last=False)


Admitted = tuple[tuple[Duplicates, Hashable], ...]
"""Who has let a message pass, and what each is to remember once it has arrived."""


def remember(admitted: Admitted, properties: Properties) -> None:
    """A message has arrived: another with one of these keys is a duplicate."""
    for duplicates, key in admitted:
        duplicates.add(key, properties)


def duplicates_from(arguments: Table, now: Callable[[], float]) -> Duplicates | None:
    """Make what arguments of a declare ask for; None if they don't.

    Raises:
        AMQPError: 406 for a value that can't be.
    """
    wanted = arguments.get(DEDUPLICATION)
    if wanted is not None and not isinstance(wanted, bool):
        raise precondition_failed(f"{DEDUPLICATION} header not a Bool")
    if not wanted:
        return None
    size = _number(arguments, CACHE_SIZE, 1)
    header = arguments.get(DEDUPLICATION_HEADER, DEDUPLICATION_HEADER.encode())
    if isinstance(header, ByteArray) or not isinstance(header, bytes):
        raise precondition_failed(f"{DEDUPLICATION_HEADER} header not a String")
    return Duplicates(
        DEFAULT_SIZE if size is None else min(size, LARGEST_SIZE),
        _number(arguments, CACHE_TTL, 0),
        header.decode("utf-8", "surrogateescape"),
        now,
    )


def duplicates_of_type(arguments: Table, now: Callable[[], float]) -> Duplicates:
    """Make what an exchange of the type `x-message-deduplication` has.

    Raises:
        AMQPError: 406 without a size, or for a value that can't be.
    """
    size, ttl_ms = _written(arguments, CACHE_SIZE), _written(arguments, CACHE_TTL)
    if size is None or size < 1:
        raise precondition_failed(f"Missing or invalid argument, '{CACHE_SIZE}' must be an integer greater than 0")
    if ttl_ms is not None and ttl_ms < 1:
        raise precondition_failed(f"Invalid argument, '{CACHE_TTL}' must be an integer greater than 0")
    return Duplicates(min(size, LARGEST_SIZE), ttl_ms, DEDUPLICATION_HEADER, now)


def _written(arguments: Table, name: str) -> int | None:
    """An integer, which may be written out; 0 for what is none."""
    value = arguments.get(name)
    if isinstance(value, bytes) and not isinstance(value, ByteArray):
        return int(value) if value.isdigit() and len(value) <= LONGEST_NUMBER else 0
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    return 0


def _number(arguments: Table, name: str, least: int) -> int | None:
    value = arguments.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise precondition_failed(f"{name} header not a Int")
    if value < least:
        raise precondition_failed(f"{name} header must be at least {least}")
    return int(value)


def _digest(octets: bytes) -> Hashable:
    return ("digest", blake2b(octets, digest_size=32).digest())
