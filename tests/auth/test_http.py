"""A web service that knows users: what it is asked, what its answers mean, what is remembered."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest

from amqp_broker.auth.backend import Credentials, Identity, Resource, Topic
from amqp_broker.auth.backends.http import HttpBackend
from amqp_broker.auth.permissions import Access
from amqp_broker.auth.users import Peer
from amqp_broker.config import HttpAuth
from tests.support.remote import Remote

OPTIONS = HttpAuth(
    user_path="http://auth.test/user",
    vhost_path="http://auth.test/vhost",
    resource_path="http://auth.test/resource",
    topic_path="http://auth.test/topic?x=y",
)
PEER = Peer("192.0.2.7", 50_000)
BOB = Credentials("b&b ü", b"s=cret %", PEER)


class Service:
    """A backend, the service it asks, and a clock."""

    def __init__(self, options: HttpAuth = OPTIONS) -> None:
        self.time = 1000.0
        self.remote = Remote()
        self.backend = HttpBackend(options, self.remote.fetch, lambda: self.time)
        self.identities: list[Identity | None] = []
        self.decisions: list[bool] = []

    def login(self, credentials: Credentials = BOB) -> None:
        self.backend.authenticate(credentials, self.identities.append)

    def asked(self) -> tuple[str, dict[str, str]]:
        """Path and form of the latest request."""
        parts = urlsplit(self.remote.requests[-1].url)
        return parts.path, dict(parse_qsl(parts.query, keep_blank_values=True))


@pytest.fixture
def service() -> Service:
    return Service()


def bob(service: Service) -> Identity:
    return Identity("bob", frozenset({"management", "administrator"}), service.backend)


def test_a_login_is_asked_for_and_let_in_with_tags(service: Service) -> None:
    service.login()
    assert service.asked() == ("/user", {"username": "b&b ü", "password": "s=cret %"})
    assert not service.identities
    service.remote.answer(b"  Allow administrator management\n")
    (identity,) = service.identities
    assert identity is not None
    assert identity.name == "b&b ü"
    assert identity.tags == {"administrator", "management"}
    assert identity.authorizer is service.backend


def test_a_mechanism_that_vouches_sends_no_password(service: Service) -> None:
    service.login(Credentials("app", None, PEER))
    assert service.asked() == ("/user", {"username": "app"})


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"deny", 200),
        (b"", 200),
        (b"allowed", 200),
        (b"allow", 404),
        (b"allow", 302),
        (b"<html>allow", 200),
        (None, 0),
        (b"\xff", 200),
    ],
)
def test_all_else_is_a_no(service: Service, body: bytes | None, status: int) -> None:
    service.login()
    service.remote.answer(body, status)
    assert service.identities == [None]


def test_what_is_asked_about_a_vhost_a_resource_and_a_key(service: Service) -> None:
    backend, identity, done = service.backend, bob(service), service.decisions.append
    common = {"username": "bob", "vhost": "/", "tags": "administrator management"}
    backend.may_open(identity, "/", PEER, done)
    assert service.asked() == ("/vhost", {**common, "ip": "192.0.2.7"})
    backend.may_access(identity, Resource("/", "queue", "q", Access.READ), done)
    assert service.asked() == ("/resource", {**common, "resource": "queue", "name": "q", "permission": "read"})
    backend.may_use_key(identity, Topic("/", "t", "a.b", Access.WRITE), done)
    assert service.asked() == (
        "/topic",
        {
            **common,
            "x": "y",
            "resource": "topic",
            "name": "t",
            "permission": "write",
            "routing_key": "a.b",
            "variable_map.username": "bob",
            "variable_map.vhost": "/",
        },
    )
    for body in (b"allow", b"deny", b"allow"):
        service.remote.answer(body)
    assert service.decisions == [True, False, True]


def test_a_post_keeps_the_password_out_of_the_address() -> None:
    service = Service(attrs.evolve(OPTIONS, method="post"))
    service.login()
    (request,) = service.remote.requests
    assert (request.method, request.url) == ("POST", "http://auth.test/user")
    assert dict(parse_qsl(request.form.decode())) == {"username": "b&b ü", "password": "s=cret %"}
    assert "cret" not in repr(request)


@pytest.mark.parametrize("body", [b"allow", b"deny"])
def test_answers_stand_for_a_while(service: Service, body: bytes) -> None:
    service.login()
    service.remote.answer(body)
    service.time += 14
    service.login()
    assert service.remote.is_idle
    assert service.identities[0] == service.identities[1]
    service.login(attrs.evolve(BOB, password=b"other"))
    assert len(service.remote.requests) == 2
    service.time += 2
    service.login()
    assert len(service.remote.requests) == 3


def test_that_nothing_came_is_not_remembered(service: Service) -> None:
    service.login()
    service.remote.answer(None)
    service.login()
    service.remote.answer(b"allow")
    assert service.identities[0] is None
    assert service.identities[1] is not None


def test_one_question_is_asked_once_at_a_time(service: Service) -> None:
    for _ in range(3):
        service.login()
    assert len(service.remote.requests) == 1
    service.remote.answer(b"allow")
    assert [identity and identity.name for identity in service.identities] == [BOB.name] * 3


def test_no_more_is_remembered_than_allowed() -> None:
    service = Service(attrs.evolve(OPTIONS, cache_entries=2))
    for number in (1, 2, 3):
        service.login(Credentials(f"user{number}", b"pw", PEER))
        service.remote.answer(b"allow")
    service.login(Credentials("user3", b"pw", PEER))
    service.login(Credentials("user2", b"pw", PEER))
    assert service.remote.is_idle
    service.login(Credentials("user1", b"pw", PEER))
    assert not service.remote.is_idle
