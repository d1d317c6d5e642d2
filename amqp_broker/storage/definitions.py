"""Definitions as storage keeps them: one change a record, and the sum of all changes as a snapshot.

Topology, and what is administered: vhosts, users, permissions, parameters.

A change is a kind and a field table, the codec's own, so that argument values come back with their tags.
Knows no vhost, exchange or queue: it keeps tables, and the broker makes objects of them after a restart.
Only what is durable comes here, and a binding only if both its ends are (rule 7.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import IntEnum
from struct import Struct
from typing import Final, TypeAlias

import attrs

from amqp_codec import Int64, Table, Value, decode_table, encode_table

_CHANGE_HEAD: Final = Struct(">BI")  # kind, octets of the table
_SNAPSHOT_HEAD: Final = Struct(">QQ")  # next queue id, first segment of the last start after a crash


_End: TypeAlias = tuple[str, str, bool]
"""Where a binding begins or ends: vhost, name, and whether that is a queue's."""


class ChangeKind(IntEnum):
    """What happened; the numbers stand in files."""

    EXCHANGE_DECLARED = 1
    EXCHANGE_DELETED = 2
    QUEUE_DECLARED = 3
    QUEUE_DELETED = 4
    BOUND = 5
    UNBOUND = 6
    VHOST_SET = 32
    VHOST_DELETED = 33
    USER_SET = 34
    USER_DELETED = 35
    PERMISSIONS_SET = 36
    PERMISSIONS_CLEARED = 37
    TOPIC_PERMISSIONS_SET = 38
    TOPIC_PERMISSIONS_CLEARED = 39
    PARAMETER_SET = 40
    PARAMETER_CLEARED = 41


KEYS: Final = {
    ChangeKind.VHOST_SET: ("vhost",),
    ChangeKind.USER_SET: ("user",),
    ChangeKind.PERMISSIONS_SET: ("user", "vhost"),
    ChangeKind.TOPIC_PERMISSIONS_SET: ("user", "vhost", "exchange"),
    ChangeKind.PARAMETER_SET: ("vhost", "component", "name"),
}
"""What is administered, with the fields that tell one from another. Of these a later change replaces an earlier one.

They stand in the order in which they are made again: the later ones refer to the earlier."""

UNDONE: Final = {
    ChangeKind.VHOST_DELETED: ChangeKind.VHOST_SET,
    ChangeKind.USER_DELETED: ChangeKind.USER_SET,
    ChangeKind.PERMISSIONS_CLEARED: ChangeKind.PERMISSIONS_SET,
    ChangeKind.TOPIC_PERMISSIONS_CLEARED: ChangeKind.TOPIC_PERMISSIONS_SET,
    ChangeKind.PARAMETER_CLEARED: ChangeKind.PARAMETER_SET,
}
"""What ends what is administered."""


@attrs.frozen
class Change:
    """One change of topology, with what it says of the thing that changed."""

    kind: ChangeKind
    table: Table

    def encode(self) -> bytes:
        """The table in octets; the kind goes beside it."""
        return encode_table(self.table)

    @classmethod
    def decode(cls, kind: int, payload: bytes) -> Change:
        return cls(ChangeKind(kind), decode_table(payload, 0)[0])


def _key(kind: ChangeKind, table: Table) -> tuple[Value, ...]:
    """Tell one thing that is administered from others of its kind."""
    return tuple(_plain(table.get(field)) for field in KEYS[kind])


def _plain(value: Value) -> Value:
    """A text is octets after a restart."""
    return value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value


def _same(one: Value, other: Value) -> bool:
    return _plain(one) == _plain(other)


def text_of(table: Table, key: str) -> str:
    """Read a name that a change was given as text."""
    value = table[key]
    assert isinstance(value, bytes | str)
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def queue_id_of(table: Table) -> int:
    """The id that a declaration names, 0 if it names none: that of a queue, or of what an exchange keeps."""
    queue_id = table.get("id", 0)
    assert isinstance(queue_id, int)
    return int(queue_id)


def adopted_name(queue_id: int) -> str:
    """What a queue is called whose declaration is lost."""
    return f"amq.recovered-{queue_id}"


class Definitions:
    """The durable topology and administration that a sequence of changes leads to.

    Auto-delete plays no part: what went because of it was recorded as deleted. A vhost takes along all that
    is in it or said of it, and a user what it was allowed.

    Attributes:
        administered: by kind, and by the fields that `KEYS` names.
        deleted: ids of queues, and of exchanges that keep messages, that were declared and deleted again.
    """

    def __init__(self) -> None:
        self.administered: dict[ChangeKind, dict[tuple[Value, ...], Change]] = {kind: {} for kind in KEYS}
        self.exchanges: dict[tuple[str, str], Change] = {}
        self.queues: dict[tuple[str, str], Change] = {}
        self.bindings: dict[bytes, Change] = {}
        self.deleted: set[int] = set()
        self._bound: dict[_End, set[bytes]] = {}
        """The keys of `bindings` by each of their two ends: deletions in masses would else walk all of them."""

    def __iter__(self) -> Iterator[Change]:
        """Changes that lead here from nothing, in an order in which they can be carried out."""
        for changes in self.administered.values():
            yield from changes.values()
        yield from self.exchanges.values()
        yield from self.queues.values()
        yield from self.bindings.values()

    def apply(self, change: Change) -> None:
        """Carry out one change; deleting what is not there changes nothing."""
        kind, table = change.kind, change.table
        if kind is ChangeKind.BOUND:
            encoded = change.encode()
            self.bindings[encoded] = change
            for end in _ends_of(change):
                self._bound.setdefault(end, set()).add(encoded)
        elif kind is ChangeKind.UNBOUND:
            self._forget_binding(change.encode())
        elif kind in KEYS:
            self.administered[kind][_key(kind, table)] = change
        elif kind in UNDONE:
            self.administered[UNDONE[kind]].pop(_key(UNDONE[kind], table), None)
            if kind is ChangeKind.VHOST_DELETED:
                self._forget_vhost(text_of(table, "vhost"))
            elif kind is ChangeKind.USER_DELETED:
                self._forget_administered("user", table["user"])
        else:
            key = (text_of(table, "vhost"), text_of(table, "name"))
            if kind is ChangeKind.EXCHANGE_DECLARED:
                self.exchanges[key] = change
            elif kind is ChangeKind.QUEUE_DECLARED:
                self.queues[key] = change
            elif kind is ChangeKind.EXCHANGE_DELETED:
                exchange = self.exchanges.pop(key, None)
                if exchange is not None:
                    self.deleted.add(queue_id_of(exchange.table))
                self._unbind((*key, False))
            else:
                queue = self.queues.pop(key, None)
                if queue is not None:
                    self.deleted.add(queue_id_of(queue.table))
                self._unbind((*key, True))

    def lost_queues(self, ids: Iterable[int]) -> list[int]:
        """Those of some queue ids, of queues that have messages, of which nobody knows what became of the queue."""
        declared = (*self.queues.values(), *self.exchanges.values())
        known = {queue_id_of(change.table) for change in declared} | self.deleted
        return sorted(set(ids) - known)

    def adopt(self, queue_id: int, arguments: Table | None = None) -> str:
        """Declare a queue in the place of one whose declaration is lost, so that its messages are not; gives its name.

        Nobody can have a queue of this name already, as its prefix is reserved.
        """
        name = adopted_name(queue_id)
        table: Table = {
            "vhost": "/",
            "name": name,
            "id": Int64(queue_id),
            "auto_delete": False,
            "arguments": arguments or {},
        }
        self.apply(Change(ChangeKind.QUEUE_DECLARED, table))
        return name

    def _forget_vhost(self, vhost: str) -> None:
        self._forget_administered("vhost", vhost.encode("utf-8", "surrogateescape"))
        for name in [name for name in self.exchanges if name[0] == vhost]:
            self.deleted.add(queue_id_of(self.exchanges.pop(name).table))
        for name in [name for name in self.queues if name[0] == vhost]:
            self.deleted.add(queue_id_of(self.queues.pop(name).table))
        for end in [end for end in self._bound if end[0] == vhost]:
            self._unbind(end)

    def _forget_administered(self, field: str, value: Value) -> None:
        for changes in self.administered.values():
            for key in [key for key, change in changes.items() if _same(change.table.get(field), value)]:
                del changes[key]

    def _unbind(self, end: _End) -> None:
        for encoded in list(self._bound.get(end, ())):
            self._forget_binding(encoded)

    def _forget_binding(self, encoded: bytes) -> None:
        change = self.bindings.pop(encoded, None)
        if change is None:
            return
        for end in _ends_of(change):
            bound = self._bound[end]
            bound.discard(encoded)
            if not bound:
                del self._bound[end]


def _ends_of(change: Change) -> set[_End]:
    """The two ends of a binding; one, when an exchange is bound to itself."""
    table = change.table
    vhost = text_of(table, "vhost")
    return {(vhost, text_of(table, "source"), False), (vhost, text_of(table, "destination"), bool(table["to_queue"]))}


def encode_snapshot(next_queue_id: int, crashed_before: int, changes: Iterable[Change]) -> bytes:
    """Put the whole topology, and what else is to be known after a restart, into octets."""
    parts = [_SNAPSHOT_HEAD.pack(next_queue_id, crashed_before)]
    for change in changes:
        payload = change.encode()
        parts.append(_CHANGE_HEAD.pack(change.kind, len(payload)))
        parts.append(payload)
    return b"".join(parts)


def decode_snapshot(data: bytes) -> tuple[int, int, list[Change]]:
    """Take a snapshot apart: next queue id, first segment after the last crash, changes."""
    next_queue_id, crashed_before = _SNAPSHOT_HEAD.unpack_from(data)
    offset = _SNAPSHOT_HEAD.size
    changes = []
    while offset < len(data):
        kind, octets = _CHANGE_HEAD.unpack_from(data, offset)
        offset += _CHANGE_HEAD.size
        changes.append(Change.decode(kind, data[offset : offset + octets]))
        offset += octets
    return next_queue_id, crashed_before, changes
