"""The durable topology as the sum of its changes: what goes with a queue, an exchange, a vhost."""

from __future__ import annotations

import time

from amqp_broker.storage.definitions import Change, ChangeKind, Definitions
from amqp_codec import Table


def named(kind: ChangeKind, name: str, vhost: str = "/") -> Change:
    return Change(kind, {"vhost": vhost, "name": name})


def bound(source: str, destination: str, key: str = "", *, to_queue: bool = True, vhost: str = "/") -> Change:
    table: Table = {"vhost": vhost, "source": source, "destination": destination, "to_queue": to_queue}
    return Change(ChangeKind.BOUND, table | {"routing_key": key, "arguments": {}})


def left(definitions: Definitions) -> list[tuple[object, object]]:
    return [(change.table["source"], change.table["destination"]) for change in definitions.bindings.values()]


def definitions_of(*changes: Change) -> Definitions:
    definitions = Definitions()
    for change in changes:
        definitions.apply(change)
    return definitions


def test_a_deleted_queue_takes_its_bindings_and_leaves_an_exchange_of_its_name() -> None:
    definitions = definitions_of(
        bound("x", "a"), bound("x", "a", "k"), bound("x", "b"), bound("x", "a", to_queue=False), bound("a", "b")
    )
    definitions.apply(named(ChangeKind.QUEUE_DELETED, "a"))
    assert left(definitions) == [("x", "b"), ("x", "a"), ("a", "b")]
    definitions.apply(named(ChangeKind.EXCHANGE_DELETED, "a"))
    assert left(definitions) == [("x", "b")]


def test_an_exchange_bound_to_itself_and_unbound_again() -> None:
    loop = bound("x", "x", to_queue=False)
    definitions = definitions_of(loop)
    definitions.apply(Change(ChangeKind.UNBOUND, loop.table))
    definitions.apply(Change(ChangeKind.UNBOUND, loop.table))
    assert left(definitions) == []
    definitions.apply(loop)
    definitions.apply(named(ChangeKind.EXCHANGE_DELETED, "x"))
    assert left(definitions) == []


def test_a_deleted_vhost_takes_its_bindings_only() -> None:
    definitions = definitions_of(bound("x", "a"), bound("x", "a", vhost="v"))
    definitions.apply(Change(ChangeKind.VHOST_DELETED, {"vhost": "v"}))
    assert [change.table["vhost"] for change in definitions.bindings.values()] == ["/"]


def test_a_mass_of_deletions_takes_time_in_proportion() -> None:
    """Walking all bindings for each of 5000 queues takes more than 10 s."""
    definitions = definitions_of(*(bound("x", str(number)) for number in range(5000)))
    began_at = time.process_time()
    for number in range(5000):
        definitions.apply(named(ChangeKind.QUEUE_DELETED, str(number)))
    assert time.process_time() - began_at < 2
    assert not definitions.bindings
