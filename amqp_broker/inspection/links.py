"""Shovels and links of federation, as the management API and the control command show them."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import UTC, datetime

from amqp_broker.broker import Broker
from amqp_broker.inspection.values import Record
from amqp_broker.links.board import FEDERATION, SHOVEL, Link, LinkState


def shovel_records(broker: Broker, vhosts: set[str]) -> Iterator[Record]:
    """The shovels of some vhosts."""
    for link in broker.links.of_kind(SHOVEL):
        if link.vhost in vhosts:
            yield shovel_record(link, broker.config.node_name)


def shovel_record(link: Link, node: str) -> Record:
    record: Record = {
        "node": node,
        "timestamp": _instant(link.changed_at),
        "name": link.name,
        "vhost": link.vhost,
        "type": "dynamic",
        "state": str(link.state),
        **link.details,
    }
    if link.state is LinkState.TERMINATED:
        return {**record, "reason": link.reason}
    if link.state is LinkState.RUNNING:
        record["blocked_status"] = "blocked" if link.is_blocked else "running"
        record["forwarded"], record["pending"] = link.forwarded, link.pending
        record["remaining"] = "unlimited" if link.remaining is None else link.remaining
        record["remaining_unacked"] = "unlimited" if link.remaining is None else link.remaining + link.pending
    return record


def federation_records(broker: Broker, vhosts: set[str]) -> Iterator[Record]:
    """The links of federation in some vhosts."""
    for link in broker.links.of_kind(FEDERATION):
        if link.vhost in vhosts:
            yield federation_record(link, broker.config.node_name)


def federation_record(link: Link, node: str) -> Record:
    record: Record = {
        "node": node,
        "timestamp": _instant(link.changed_at),
        "vhost": link.vhost,
        "id": link_id(link),
        "status": "error" if link.state is LinkState.TERMINATED else str(link.state),
        **link.details,
    }
    return {**record, "error": link.reason} if link.state is LinkState.TERMINATED else record


def link_id(link: Link) -> str:
    """What tells a link of federation from all others; stays the same over restarts."""
    return f"{zlib.crc32('/'.join(link.key).encode('utf-8', 'surrogateescape')):08x}"


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
