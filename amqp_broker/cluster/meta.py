"""What is administered, in a table that all brokers of a cluster share: vhosts, users, permissions, parameters.

Each thing is a key. `Meta` is the storage of a broker for all that is no vhost's contents: what changes here goes into
the table, what others change comes back as changes for `carry_out`. What two change at once becomes the same
everywhere: what the table has last. Every put states the revision that it replaces: one that arrives late, when it has
been made again and others came after it, changes nothing. Sans-IO: somebody else puts what `take` gives, and tells what
a watch tells.
"""

from __future__ import annotations

import base64
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from amqp_broker.administration.errors import VhostElsewhereError
from amqp_broker.broker import Broker
from amqp_broker.chronicle import restore_vhost
from amqp_broker.cluster.log import Conflict, KeyValue
from amqp_broker.events import INTERNAL_USER
from amqp_broker.registry import GLOBAL
from amqp_broker.storage.definitions import KEYS, UNDONE, Change, ChangeKind, Definitions, text_of
from amqp_broker.storage.interface import MemoryStorage
from amqp_codec import CodecError, Table, Value

log = logging.getLogger(__name__)

PREFIX: Final = "meta."
"""Of all its keys."""

_WORDS: Final[Mapping[ChangeKind, str]] = {
    ChangeKind.VHOST_SET: "vhost",
    ChangeKind.USER_SET: "user",
    ChangeKind.PERMISSIONS_SET: "permissions",
    ChangeKind.TOPIC_PERMISSIONS_SET: "topic-permissions",
    ChangeKind.PARAMETER_SET: "parameter",
}
_CLEARED: Final = {kind: undone for undone, kind in UNDONE.items()}
_KINDS: Final = {word: kind for kind, word in _WORDS.items()}
_OWNERS: Final[Mapping[str, ChangeKind]] = {"vhost": ChangeKind.VHOST_SET, "user": ChangeKind.USER_SET}
"""What something belongs to that names one: it is not there without."""

_NO_FIELD = "-"
_EMPTY_FIELD = "="


def key_of(kind: ChangeKind, table: Table) -> str:
    """The key of a thing: its kind and the fields that tell it from others, in a form that every engine takes."""
    return PREFIX + ".".join([_WORDS[kind], *(_encoded(table.get(field)) for field in KEYS[kind])])


def _owners(key: str) -> list[str]:
    """The keys of what a thing belongs to."""
    if not key.startswith(PREFIX):
        return []
    word, *values = key.removeprefix(PREFIX).split(".")
    own = _KINDS[word]
    fields = zip(KEYS[own], values, strict=True)
    named = [(_OWNERS[field], value) for field, value in fields if field in _OWNERS and value != _NO_FIELD]
    return [f"{PREFIX}{_WORDS[kind]}.{value}" for kind, value in named if kind is not own]


def _encoded(value: Value) -> str:
    if value is None:
        return _NO_FIELD
    octets = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    assert isinstance(octets, bytes)
    return base64.urlsafe_b64encode(octets).decode() or _EMPTY_FIELD


class Put(NamedTuple):
    """A key to be set, or deleted if there is no value."""

    key: str
    value: bytes | None


class Meta(MemoryStorage):
    """A broker's storage for what is administered. All methods belong to one thread, but for `Puts.execute`.

    Attributes:
        on_work: called when there is something to put.
        told_revision: the revision of the table up to which all has been carried out here.
        revision: the same, or that of the last change of ours that is in the table.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on_work: Callable[[], None] = _nothing
        self.told_revision = self.revision = 0
        self._known: dict[str, bytes] = {}
        """The table as the broker has carried it out, with its own changes."""
        self._belonging: defaultdict[str, dict[str, None]] = defaultdict(dict)
        """The keys of what belongs to a thing, by its key."""
        self._waiting: deque[Put] = deque()
        self._under_way: Puts | None = None
        self._own: dict[str, int] = {}
        """How many changes of ours to a key are not known to be in the table."""
        self._revisions: dict[str, int] = {}
        """The last revision of each key that we know of."""
        self._deferred: dict[str, tuple[bytes | None, int]] = {}
        """What was told of keys that are being changed here."""
        self._count = 0
        self._done = 0
        self._callbacks: deque[tuple[int, Callable[[], None]]] = deque()

    # As storage

    @property
    def has_unsaved_changes(self) -> bool:  # type: ignore[override]
        return self._done < self._count

    def changed(self, change: Change) -> None:
        kind, table = change.kind, change.table
        if kind in KEYS:
            key = key_of(kind, table)
            if key not in self._known:
                # Of a namesake, by somebody who did not know that it was deleted; what comes from here is of this one.
                for each in [each for each in self._belonging.get(key, ()) if each not in self._own]:
                    self._put(each, None)
            self._put(key, bytes([kind]) + change.encode())
            return
        if kind not in UNDONE:
            raise VhostElsewhereError(text_of(table, "vhost"))
        key = key_of(UNDONE[kind], table)
        for each in list(self._belonging.get(key, ())):
            self._put(each, None)  # first: should the rest be cut off, nothing is left of what a namesake would get
        if key in self._known:
            self._put(key, None)

    def when_durable(self, callback: Callable[[], None]) -> None:
        if self._done == self._count:
            callback()
        else:
            self._callbacks.append((self._count, callback))

    def _is_orphan(self, key: str) -> bool:
        """What it belongs to is not there: not told yet, or deleted by somebody who did not know of this."""
        return any(owner not in self._known for owner in _owners(key))

    def _know(self, key: str, value: bytes | None) -> None:
        if value is None:
            self._known.pop(key, None)
        else:
            self._known[key] = value
        for owner in _owners(key):
            if value is None:
                self._belonging[owner].pop(key, None)
            else:
                self._belonging[owner][key] = None

    def _put(self, key: str, value: bytes | None) -> None:
        self._know(key, value)
        self._count += 1
        self._own[key] = self._own.get(key, 0) + 1
        self._waiting.append(Put(key, value))
        self.on_work()

    # Into the table

    def take(self) -> Puts | None:
        """What is to be put now; its end is to be told to `done` before there is more."""
        if self._under_way is not None or not self._waiting:
            return None
        told = {key: revision for key, (_, revision) in self._deferred.items()}
        keys = {put.key for put in self._waiting}
        known = {key: max(self._revisions.get(key, 0), told.get(key, 0)) for key in keys}
        self._under_way = Puts(list(self._waiting), known)
        self._waiting.clear()
        return self._under_way

    def done(self, puts: Puts) -> list[Change]:
        """Take the outcome; what was not put is tried again. Gives what others have changed meanwhile."""
        self._under_way = None
        changes: list[Change] = []
        self.revision = max(self.revision, *puts.revisions, 0)
        for put, revision in zip(puts.puts, puts.revisions, strict=False):
            self._done += 1
            self._own[put.key] -= 1
            self._revisions[put.key] = max(self._revisions.get(put.key, 0), revision)
            if not self._own[put.key]:
                del self._own[put.key]
                if put.key in self._deferred:
                    changes += self.told(put.key, *self._deferred.pop(put.key))
        self._waiting.extendleft(reversed(puts.puts[len(puts.revisions) :]))
        while self._callbacks and self._callbacks[0][0] <= self._done:
            self._callbacks.popleft()[1]()
        return changes

    # Out of the table

    def told(self, key: str, value: bytes | None, revision: int) -> list[Change]:
        """A watch has told of a key; gives what is to be carried out on the broker, in this order."""
        if not key.startswith(PREFIX):
            return []
        self.told_revision = max(self.told_revision, revision)
        self.revision = max(self.revision, revision)
        if not _is_understood(key, value):
            log.error("%s: what the cluster says there is not for this version, and is left alone", key)
            self._revisions[key] = max(self._revisions.get(key, 0), revision)
            return []
        if revision < self._revisions.get(key, 0):
            return []
        if key in self._own:
            self._deferred[key] = (value, revision)
            return []
        self._revisions[key] = revision
        before = self._known.get(key)
        if value == before:
            return []
        self._know(key, value)
        if value is None:
            for each in [each for each in self._belonging.get(key, ()) if each in self._own]:
                self._put(each, None)  # it was for what is deleted now
        if self._is_orphan(key):
            return []
        if value is None:
            assert before is not None
            return [_undone(_decoded(before))]
        waited = [each for each in self._belonging.get(key, ()) if not self._is_orphan(each)]  # keys come in no order
        return [_decoded(value), *(_decoded(self._known[each]) for each in waited)]

    def definitions(self) -> Definitions:
        """All that is known, in an order in which it can be carried out, for a broker that starts."""
        found = Definitions()
        for key, value in self._known.items():
            if not self._is_orphan(key):
                found.apply(_decoded(value))
        return found


class Puts:
    """What is put in one go.

    Args:
        puts: in order.
        known: the last known revision of each key, 0 where none is.

    Attributes:
        puts: the same.
        revisions: of those that were put, from the first on.
        error: what stopped it; a `Conflict` is over when the watch has told of it.
    """

    def __init__(self, puts: list[Put], known: dict[str, int]) -> None:
        self.puts = puts
        self.revisions: list[int] = []
        self.error: OSError | Conflict | None = None
        self._known = known

    def execute(self, table: KeyValue) -> None:
        """Put, in the calling thread, as far as it goes."""
        try:
            for key, value in self.puts:
                self._known[key] = self._put(table, key, value)
                self.revisions.append(self._known[key])
        except (OSError, Conflict) as error:
            self.error = error

    def _put(self, table: KeyValue, key: str, value: bytes | None) -> int:
        revision = self._known[key]
        if value is None:
            return table.delete(key, revision or None)
        return table.update(key, value, revision) if revision else table.create(key, value)


def _is_understood(key: str, value: bytes | None) -> bool:
    """Whether it is a thing that this version knows; a later one may know more, while nodes are upgraded."""
    try:
        _owners(key)
        change = None if value is None else _decoded(value)
        return change is None or key_of(change.kind, change.table) == key
    except (CodecError, LookupError, ValueError):
        return False


def _decoded(value: bytes) -> Change:
    return Change.decode(value[0], value[1:])


def _undone(change: Change) -> Change:
    fields = KEYS[change.kind]
    return Change(_CLEARED[change.kind], {field: change.table[field] for field in fields if field in change.table})


def carry_out(broker: Broker, change: Change) -> None:
    """Do on a running broker what another has done: what is administered there holds here as well.

    Storage is told nothing, and nobody else: the broker where it was done has told.
    """
    kind, table, registry = change.kind, change.table, broker.registry
    if kind is ChangeKind.VHOST_SET:
        _set_vhost(broker, table)
    elif kind is ChangeKind.VHOST_DELETED:
        if text_of(table, "vhost") in broker.vhosts:
            broker.drop_vhost(text_of(table, "vhost"), INTERNAL_USER)
    elif kind is ChangeKind.USER_DELETED:
        name = text_of(table, "user")
        broker.users.remove(name)
        for client in broker.clients_of(name):
            client.force_close(f"user '{name}' is deleted")
    elif kind in (ChangeKind.PARAMETER_SET, ChangeKind.PARAMETER_CLEARED):
        of_vhost = text_of(table, "vhost") if "vhost" in table else GLOBAL
        if kind is ChangeKind.PARAMETER_SET:
            registry.restore(change)
        else:
            registry.parameters.pop((of_vhost, text_of(table, "component"), text_of(table, "name")), None)
        registry.on_parameters_changed()
        if of_vhost in broker.vhosts and of_vhost is not GLOBAL:
            broker.apply_parameters(of_vhost)
    else:
        name = text_of(table, "user")
        if kind is ChangeKind.PERMISSIONS_CLEARED:
            broker.users.set_permissions(name, text_of(table, "vhost"), None)
        elif kind is ChangeKind.TOPIC_PERMISSIONS_CLEARED:
            broker.users.set_topic_permissions(name, text_of(table, "vhost"), text_of(table, "exchange"), None)
        else:
            registry.restore(change)
        for client in broker.clients_of(name):
            client.forget_rights()


def _set_vhost(broker: Broker, table: Table) -> None:
    name = text_of(table, "vhost")
    vhost = broker.vhosts.get(name)
    is_new = vhost is None
    if vhost is None:
        vhost = broker.make_vhost(name)
    was_tracing = vhost.is_tracing
    restore_vhost(vhost, table)
    if vhost.is_tracing != was_tracing:
        broker.set_tracing(name, vhost.is_tracing)
    if is_new:
        broker.apply_parameters(name)


def _nothing() -> None:
    """Nobody wants to know."""
