"""Which function answers which method and path.

Paths are matched segment by segment, each percent-decoded on its own, for names may contain slashes. A trailing
slash makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import TYPE_CHECKING, Final, TypeVar
from urllib.parse import unquote

import attrs

if TYPE_CHECKING:
    from amqp_broker.management.call import Call

Handler = Callable[["Call"], object]
"""Answers a call: with something for JSON, a `Reply`, a `Listing`, or work in steps that returns one of these."""


H = TypeVar("H", bound=Handler)


class Needs(Enum):
    """Who may call an endpoint at all."""

    NOBODY = "nobody"
    """Not even a login."""
    MANAGEMENT = "management"
    POLICYMAKER = "policymaker"
    MONITORING = "monitoring"
    ADMINISTRATOR = "administrator"


@attrs.frozen
class Endpoint:
    """One method of one path.

    Attributes:
        path: below `/api`, with names in braces for segments that vary: `queues/{vhost}/{name}`.
        max_body_octets: longer bodies are refused, if the configuration has no lower limit.
        takes_form: the body is a form, which has name and password in it as well.
    """

    method: str
    path: str
    needs: Needs
    handler: Handler
    max_body_octets: int | None = None
    takes_form: bool = False

    @property
    def summary(self) -> str:
        """What it is for, in one line."""
        return (self.handler.__doc__ or "").strip().partition("\n")[0]


class Routes:
    """The endpoints of one subject, collected by decorators."""

    def __init__(self) -> None:
        self._endpoints: list[Endpoint] = []

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._endpoints)

    def get(self, path: str, needs: Needs = Needs.MANAGEMENT) -> Callable[[H], H]:
        return self._add("GET", path, needs)

    def put(self, path: str, needs: Needs = Needs.MANAGEMENT) -> Callable[[H], H]:
        return self._add("PUT", path, needs)

    def post(
        self,
        path: str,
        needs: Needs = Needs.MANAGEMENT,
        *,
        max_body_octets: int | None = None,
        takes_form: bool = False,
    ) -> Callable[[H], H]:
        return self._add("POST", path, needs, max_body_octets, takes_form)

    def delete(self, path: str, needs: Needs = Needs.MANAGEMENT) -> Callable[[H], H]:
        return self._add("DELETE", path, needs)

    def _add(
        self, method: str, path: str, needs: Needs, max_body_octets: int | None = None, takes_form: bool = False
    ) -> Callable[[H], H]:
        def add(handler: H) -> H:
            self._endpoints.append(Endpoint(method, path, needs, handler, max_body_octets, takes_form))
            return handler

        return add


@attrs.frozen
class Found:
    """What a path leads to.

    Attributes:
        endpoints: by method.
        names: the segments that vary.
    """

    endpoints: dict[str, Endpoint]
    names: dict[str, str]

    @property
    def allow(self) -> str:
        """The methods that work, as the header `allow` lists them."""
        methods = [method for method in ("GET", "PUT", "POST", "DELETE") if method in self.endpoints]
        return ", ".join((["HEAD"] if "GET" in methods else []) + [*methods, "OPTIONS"])


@attrs.define
class _Node:
    """A place in the tree of paths."""

    fixed: dict[str, _Node] = attrs.Factory(dict)
    varying: _Node | None = None
    endpoints: dict[str, Endpoint] = attrs.Factory(dict)


class Router:
    """All endpoints, as a tree by segments; a fixed segment goes before one that varies."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._root: Final = _Node()
        for endpoint in endpoints:
            node = self._root
            for segment in endpoint.path.split("/"):
                if segment.startswith("{"):
                    node.varying = node.varying or _Node()
                    node = node.varying
                else:
                    node = node.fixed.setdefault(segment, _Node())
            assert endpoint.method not in node.endpoints, endpoint.path
            node.endpoints[endpoint.method] = endpoint

    def find(self, raw_path: str) -> Found | None:
        """Look up what comes after `/api/`, still percent-encoded.

        Raises:
            UnicodeDecodeError: a segment is no UTF-8.
        """
        segments = [unquote(segment, errors="strict") for segment in raw_path.strip("/").split("/")]
        node = _walk(self._root, segments, 0)
        if node is None:
            return None
        path = next(iter(node.endpoints.values())).path.split("/")
        names = {name[1:-1]: value for name, value in zip(path, segments, strict=True) if name.startswith("{")}
        return Found(node.endpoints, names)


def _walk(node: _Node, segments: list[str], depth: int) -> _Node | None:
    if depth == len(segments):
        return node if node.endpoints else None
    for following in (node.fixed.get(segments[depth]), node.varying):
        if following is not None and (found := _walk(following, segments, depth + 1)) is not None:
            return found
    return None
