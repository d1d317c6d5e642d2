"""Users that a web service knows, asked in the way of RabbitMQ's `rabbit_auth_backend_http`.

Four paths answer `allow`, `allow tag1 tag2` or `deny`. Whatever else comes, or nothing in time, is a no. Answers
are remembered for a while, refusals too; that nothing came is not.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from amqp_broker.auth.backend import Credentials, Decide, Identify, Identity, Resource, Topic
from amqp_broker.auth.fetching import Fetch, Request, Response
from amqp_broker.auth.users import Peer
from amqp_broker.config import HttpAuth

log = logging.getLogger(__name__)

SUCCESS: Final = (200, 201)

_Answered = Callable[[str], None]


class HttpBackend:
    """The web service of the configuration.

    Args:
        options: where it is.
        fetch: asks it.
        now: the clock, in seconds.
    """

    checks_topics = True

    def __init__(self, options: HttpAuth, fetch: Fetch, now: Callable[[], float]) -> None:
        self._options = options
        self._fetch = fetch
        self._now = now
        self._known: dict[bytes, tuple[float, str]] = {}
        """Answers by a digest of the question, for that has passwords in it; the oldest first."""
        self._waiting: dict[bytes, list[_Answered]] = {}
        """Who else wants to know what is being asked already."""
        self._digest_key = secrets.token_bytes(32)

    def authenticate(self, credentials: Credentials, done: Identify) -> None:
        name = credentials.name
        form = {"username": name}
        if credentials.password is not None:
            try:
                form["password"] = credentials.password.decode()
            except UnicodeDecodeError:
                done(None)
                return

        def answered(answer: str) -> None:
            word, *tags = answer.split()
            done(Identity(name, frozenset(tags), self) if word == "allow" else None)

        self._ask(self._options.user_path, form, answered)

    def may_open(self, identity: Identity, vhost: str, peer: Peer, done: Decide) -> None:
        form = {"username": identity.name, "vhost": vhost, "ip": peer.address, "tags": _joined(identity.tags)}
        self._ask(self._options.vhost_path, form, _decided(done))

    def may_access(self, identity: Identity, resource: Resource, done: Decide) -> None:
        form = {
            "username": identity.name,
            "vhost": resource.vhost,
            "resource": resource.kind,
            "name": resource.name,
            "permission": resource.access.value,
            "tags": _joined(identity.tags),
        }
        self._ask(self._options.resource_path, form, _decided(done))

    def may_use_key(self, identity: Identity, topic: Topic, done: Decide) -> None:
        form = {
            "username": identity.name,
            "vhost": topic.vhost,
            "resource": "topic",
            "name": topic.exchange,
            "permission": topic.access.value,
            "tags": _joined(identity.tags),
            "routing_key": topic.routing_key,
            "variable_map.username": identity.name,
            "variable_map.vhost": topic.vhost,
        }
        self._ask(self._options.topic_path, form, _decided(done))

    def renew(self, identity: Identity, _secret: bytes, done: Identify) -> None:
        """A password is looked at when a client logs in, so there is nothing to renew."""
        done(identity)

    def _ask(self, path: str, form: Mapping[str, str], answered: _Answered) -> None:
        encoded = urlencode(form, quote_via=quote, safe="")
        digest = hashlib.blake2b(f"{path}\n{encoded}".encode("utf-8", "surrogatepass"), key=self._digest_key).digest()
        known = self._known.get(digest)
        if known is not None and known[0] > self._now():
            answered(known[1])
            return
        if digest in self._waiting:
            self._waiting[digest].append(answered)
            return
        self._waiting[digest] = [answered]

        def fetched(response: Response | None) -> None:
            answer = _answer_in(response, path)
            if answer is None:
                answer = "deny"
            else:
                self._remember(digest, answer)
            for wants_to_know in self._waiting.pop(digest):
                wants_to_know(answer)

        self._fetch(self._request(path, encoded), fetched)

    def _request(self, path: str, encoded: str) -> Request:
        timeout_s, ca = self._options.timeout_s, self._options.ca
        if self._options.method == "post":
            return Request("POST", path, encoded.encode(), timeout_s, ca)
        parts = urlsplit(path)
        query = f"{parts.query}&{encoded}" if parts.query else encoded
        return Request("GET", urlunsplit(parts._replace(query=query)), b"", timeout_s, ca)

    def _remember(self, digest: bytes, answer: str) -> None:
        self._known.pop(digest, None)
        if len(self._known) >= self._options.cache_entries:
            del self._known[next(iter(self._known))]
        self._known[digest] = (self._now() + self._options.cache_ttl_s, answer)


def _answer_in(response: Response | None, path: str) -> str | None:
    """The words of an answer; None when there is none to be had."""
    if response is None:
        log.warning("auth: no answer from %s, that is a no", path)
        return None
    text = response.body.decode("utf-8", "replace").strip().lower()
    if response.status not in SUCCESS or text.partition(" ")[0] not in ("allow", "deny"):
        log.warning("auth: %s answered with status %d and neither allow nor deny, that is a no", path, response.status)
        return None
    return text


def _decided(done: Decide) -> _Answered:
    return lambda answer: done(answer.split()[0] == "allow")


def _joined(tags: frozenset[str]) -> str:
    return " ".join(sorted(tags))
