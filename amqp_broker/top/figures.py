"""One look at a broker, and what has happened between two."""

from __future__ import annotations

import http.client
import time
from typing import Any, Final
from urllib.parse import urlencode

import attrs

from amqp_broker.top.api import Api, ApiUnavailableError

ORDERS: Final = {
    "messages": "messages",
    "ready": "messages_ready",
    "unacked": "messages_unacknowledged",
    "consumers": "consumers",
    "publish": "message_stats.publish_details.rate",
    "deliver": "message_stats.deliver_get_details.rate",
    "name": "name",
}
"""What queues can be sorted by, and the column that the API calls so."""

MOST_QUEUES: Final = 500
"""The largest page that the API gives."""

_COLUMNS: Final = (
    "name,vhost,type,state,consumers,messages_ready,messages_unacknowledged,message_stats.publish,"
    "message_stats.deliver_get,message_stats.ack"
)


@attrs.frozen
class Look:
    """What the API said.

    Attributes:
        at: in seconds, on a clock of its own.
        node: None for users who may not see it.
        queues: those on top.
        queue_count: how many there are.
    """

    at: float
    overview: dict[str, Any]
    node: dict[str, Any] | None
    queues: list[dict[str, Any]]
    queue_count: int


def look_at(api: Api, order: str, most: int) -> Look:
    """Look once.

    Args:
        api: where.
        order: one of `ORDERS`.
        most: how many queues are wanted.

    Raises:
        ApiUnavailableError: the broker does not answer, or not this user.
    """
    overview = api.get("overview")
    query = {"page": 1, "page_size": max(1, min(most, MOST_QUEUES)), "sort": ORDERS[order], "columns": _COLUMNS}
    if order != "name":
        query["sort_reverse"] = "true"
    page = api.get(f"queues?{urlencode(query)}")
    return Look(time.monotonic(), overview, _node(api, overview["node"]), page["items"], page["total_count"])


def _node(api: Api, name: str) -> dict[str, Any] | None:
    try:
        nodes = api.get("nodes")
    except ApiUnavailableError as error:
        if error.status == http.client.UNAUTHORIZED:
            return None
        raise
    return next((node for node in nodes if node["name"] == name), None)


class Rates:
    """How fast counters grow from one look to the next."""

    def __init__(self) -> None:
        self._before: Look | None = None
        self._queues: dict[tuple[str, str], dict[str, Any]] = {}
        self.now: Look | None = None

    def take(self, look: Look) -> None:
        self._before, self.now = self.now, look
        self._queues = {} if self._before is None else {_id(queue): queue for queue in self._before.queues}

    def of_all(self, name: str) -> float:
        """A second, of the whole broker; 0 after the first look."""
        if self.now is None or self._before is None:
            return 0.0
        return self._rate(self._before.overview, self.now.overview, name)

    def of_queue(self, queue: dict[str, Any], name: str) -> float:
        """A second, of a queue of the last look; 0 if it was not among those of the look before."""
        before = self._queues.get(_id(queue))
        return 0.0 if before is None else self._rate(before, queue, name)

    def _rate(self, before: dict[str, Any], after: dict[str, Any], name: str) -> float:
        assert self.now is not None
        assert self._before is not None
        elapsed_s = max(1e-9, self.now.at - self._before.at)
        return max(0.0, (_count(after, name) - _count(before, name)) / elapsed_s)


def _id(queue: dict[str, Any]) -> tuple[str, str]:
    return queue["vhost"], queue["name"]


def _count(thing: dict[str, Any], name: str) -> int:
    count = (thing.get("message_stats") or {}).get(name, 0)
    return count if isinstance(count, int) else 0
