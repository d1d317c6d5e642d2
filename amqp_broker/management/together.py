"""Answers that take all nodes of the cluster: each says what is with it, and who was asked puts that together.

The others are asked as whoever asks, so each of them shows what that user may see. One that does not answer in time is
left out, with a line in the log. Nothing here runs where there is no cluster, nor for what another node has passed on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final, cast
from urllib.parse import urlencode

import attrs
import msgspec
import trio

from amqp_broker.auth.users import Peer
from amqp_broker.inspection.cluster import Cluster
from amqp_broker.inspection.values import Record
from amqp_broker.management.call import Call
from amqp_broker.management.elsewhere import Answer, Ask, Question, sent_headers
from amqp_broker.management.errors import ApiError
from amqp_broker.management.listing import MAX_PAGE_SIZE, Listing, collect, columns_of, join_pages, page_of
from amqp_broker.management.names import name_matcher
from amqp_broker.management.replies import NO_CONTENT, Reply, Whole
from amqp_broker.management.writing import pause

log = logging.getLogger(__name__)

WAIT_S: Final = 2.0
"""For the other nodes; whoever looks at a list does so again."""

_OF_LISTS: Final = ("page", "page_size", "sort", "sort_reverse", "name", "use_regex", "columns")

_TOPOLOGY: Final = ("queues", "exchanges", "bindings")
_SUMS: Final = ("message_stats", "queue_totals", "object_totals", "churn_rates")


@attrs.frozen
class Part:
    """What another node says.

    Attributes:
        node: its name.
    """

    node: str
    status: int
    body: Any


@attrs.frozen
class Others:
    """The other nodes, for one request.

    Attributes:
        path: of the request, with everything in front of the query.
        headers: those of the request.
        peer: who asks.
        user: its name, if the others need no more (`elsewhere.vouched`).
        missing: names of those that did not answer when they were last asked, by any request.
        hold: told of octets of answers as they come, which are kept until the request is over. Raises ApiError 503.
    """

    cluster: Cluster
    own_name: str
    ask: Ask
    path: str
    headers: Mapping[str, str]
    peer: Peer
    user: str | None
    missing: set[str]
    hold: Callable[[int], None]

    async def parts(self, method: str, query: Mapping[str, str]) -> list[Part]:
        """What those say that run and answer in time, by name. Raises ApiError 503: there is no memory for it."""
        parts: list[Part] = []
        refusals: list[ApiError] = []
        target = f"{self.path}?{urlencode(query)}" if query else self.path
        headers = sent_headers(self.headers, self.user)
        question = Question(method, target, headers, peer=self.peer, user=self.user, hold=self.hold)

        async def ask(name: str) -> None:
            try:
                answer = await self.ask(name, question, WAIT_S)
                body = await trio.to_thread.run_sync(_read, answer)
                parts.append(Part(name, answer.status, body))
                self.missing.discard(name)
            except ApiError as error:
                refusals.append(error)
                nursery.cancel_scope.cancel()
            except (OSError, msgspec.DecodeError) as error:
                if name not in self.missing:
                    log.warning("management: answers are without node %s: %s", name, error)
                self.missing.add(name)

        async with trio.open_nursery() as nursery:
            for member in self.cluster.members():
                if member.name != self.own_name and member.is_running:
                    nursery.start_soon(ask, member.name)
        if refusals:
            raise refusals[0]
        return sorted(parts, key=lambda part: part.node)


def _read(answer: Answer) -> Any:
    return msgspec.json.decode(answer.content) if answer.content else None


Join = Callable[[Call, Any, Sequence[Part]], object]
"""Puts our own result and those of others together."""


def _lists(call: Call, own: list[Record], parts: Sequence[Part]) -> list[Record]:
    return [item for items in _in_order(call, own, parts) for item in items]


def _nodes(_call: Call, own: list[Record], parts: Sequence[Part]) -> list[Record]:
    """Each as it describes itself, but for what the cluster knows of it."""
    told = {item["name"]: item for part in parts for item in part.body if item["name"] == part.node}
    return [{**told.get(item["name"], {}), **item} for item in own]


def _overview(_call: Call, own: Record, parts: Sequence[Part]) -> Record:
    joined: dict[str, Any] = {**own}
    for part in parts:
        for name in _SUMS:
            joined[name] = total(joined[name], part.body[name])
        for name in ("listeners", "contexts"):
            if name in joined:
                joined[name] = [*joined[name], *part.body.get(name, ())]
    return joined


def _vhost(call: Call, own: Record, parts: Sequence[Part]) -> Record:
    return _owners_of(call, parts).get(str(own["name"]), own)


def _definitions(_call: Call, own: Reply, parts: Sequence[Part]) -> Reply:
    assert isinstance(own.body, dict)
    body = {
        name: [*value, *chain.from_iterable(part.body[name] for part in parts)] if name in _TOPOLOGY else value
        for name, value in own.body.items()
    }
    return attrs.evolve(own, body=body)


def _alarms(own: object, parts: Sequence[Part]) -> object:
    answers = [own.body if isinstance(own, Reply) else own, *(part.body for part in parts)]
    failed = [answer for answer in answers if isinstance(answer, dict) and "alarms" in answer]
    alarms = [alarm for answer in failed for alarm in answer["alarms"]]
    return Reply(503, {**failed[0], "alarms": alarms}) if failed else own


JOINED: Final[Mapping[str, Join]] = {
    "nodes": _nodes,
    "overview": _overview,
    "vhosts/{vhost}": _vhost,
    "definitions": _definitions,
    "all-configuration": _definitions,
    "shovels": _lists,
    "federation-links": _lists,
}
"""How what GET requests of these paths answer is put together; for what is a `Listing` there is one way."""

LISTED: Final = frozenset(
    {
        "queues",
        "queues/detailed",
        "exchanges",
        "bindings",
        "consumers",
        "connections",
        "connections/username/{user}",
        "channels",
        "vhosts",
        "vhosts/{vhost}/connections",
        "vhosts/{vhost}/channels",
    }
)

ALARMS: Final = "health/checks/alarms"
"""A path where other nodes may well say 503."""

SOMEWHERE: Final = frozenset({"connections/{name}", "connections/{name}/channels", "channels/{name}"})
"""Paths to what may be with any node."""

EVERYWHERE: Final = frozenset({"connections/username/{user}"})
"""Paths where DELETE concerns all nodes."""


async def complete(call: Call, method: str, path: str, result: object, others: Others) -> object:
    """Add to a result of the endpoint `path` what the others have. Raises ApiError 400: there is no such page."""
    if method == "GET" and path in LISTED and isinstance(result, Listing):
        return await _listing(call, path, result, others)
    if method == "GET" and path == ALARMS:
        return _alarms(result, await others.parts("GET", {}))
    if method == "GET" and (join := JOINED.get(path)) is not None:
        return join(call, result, _good(await others.parts("GET", _plain(call.query))))
    if method == "DELETE" and path in EVERYWHERE:
        for part in await others.parts("DELETE", call.query):
            _raise_refusal(part)
    return result


async def find(call: Call, method: str, path: str, others: Others) -> object:
    """What the other node answers that has what was not found here; None if nobody has it. Raises ApiError."""
    if path not in SOMEWHERE:
        return None
    for part in await others.parts(method, call.query):
        if part.status != 404:
            _raise_refusal(part)
            return NO_CONTENT if part.body is None else part.body
    return None


def _raise_refusal(part: Part) -> None:
    if part.status >= 400:
        raise ApiError(part.status, part.body["error"], part.body["reason"])


async def _listing(call: Call, path: str, own: Listing, others: Others) -> object:
    """A list of all nodes.

    Of a page near the beginning each node is asked for so much that the page is in it, whichever node the rows come
    from; of others, and of what comes without pages, for all it has.
    """
    page = page_of(call.query) if own.is_paged else None
    query = _plain(call.query)
    columns = columns_of(call.query)
    is_whole = page is None or page.number * page.size > MAX_PAGE_SIZE or path == "vhosts"
    if columns and (page is None or not is_whole):
        wanted = {*columns, call.query.get("sort", columns[0]), *(["name"] if path == "vhosts" else [])}
        query["columns"] = ",".join(sorted(wanted))
    if page is None or is_whole:
        parts = _good(await others.parts("GET", query))
        if path == "vhosts":
            told = _owners_of(call, parts)
            return attrs.evolve(own, items=(told.get(str(item["name"]), item) for item in own.items), rows=None)
        return attrs.evolve(own, items=chain.from_iterable(_in_order(call, own.items, parts)), rows=None)
    query |= {name: call.query[name] for name in ("sort", "sort_reverse", "name", "use_regex") if name in call.query}
    query |= {"page": "1", "page_size": str(page.number * page.size)}
    parts = _good(await others.parts("GET", query))
    mine = await collect(own, query, pause, name_matcher)
    return Whole(join_pages(_in_order(call, mine, parts), page, call.query))


def _plain(query: Mapping[str, str]) -> dict[str, str]:
    """A query without what says which part of a list is wanted, and in which form."""
    return {name: value for name, value in query.items() if name not in _OF_LISTS}


def _good(parts: Sequence[Part]) -> list[Part]:
    for part in parts:
        if part.status != 200:
            log.warning("management: an answer is without node %s, which says %d", part.node, part.status)
    return [part for part in parts if part.status == 200]


def _in_order(call: Call, own: Any, parts: Sequence[Part]) -> list[Any]:
    """Our own and theirs by names of nodes, so that each node gives the same list."""
    all_parts = [(call.node.name, own), *((part.node, part.body) for part in parts)]
    return [body for _, body in sorted(all_parts, key=lambda each: each[0])]


def _owners_of(call: Call, parts: Sequence[Part]) -> dict[str, Record]:
    """What is said of vhosts by the nodes that have them."""
    cluster = call.node.cluster
    assert cluster is not None
    owners = {vhost: member.name for member in cluster.members() for vhost in member.vhosts}
    return {
        item["name"]: item
        for part in parts
        for item in (part.body if isinstance(part.body, list) else [part.body])
        if owners.get(item["name"]) == part.node
    }


def total(own: Record, other: Record) -> Record:
    """Add figures up, with their series; what only one has stays as it is."""
    summed: dict[str, Any] = {**other, **own}
    for name in own.keys() & other.keys():
        one, two = own[name], other[name]
        if isinstance(one, dict) and isinstance(two, dict):
            summed[name] = total(one, two)
        elif isinstance(one, list) and isinstance(two, list):
            summed[name] = _series(one, two)
        elif name != "timestamp":
            summed[name] = cast("float", one) + cast("float", two)
    return summed


def _series(one: list[Any], two: list[Any]) -> list[Any]:
    """Samples, newest first, that go back as far as the longer of two."""
    longer, shorter = (one, two) if len(one) >= len(two) else (two, one)
    return [total(*pair) for pair in zip(longer, shorter, strict=False)] + longer[len(shorter) :]
