"""Backends in order, and what the configuration makes of their names."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from amqp_broker.auth.backend import Credentials, Identity
from amqp_broker.auth.backends.configured import make_chain
from amqp_broker.auth.backends.internal import InternalBackend
from amqp_broker.auth.errors import AuthConfigError
from amqp_broker.auth.permissions import ALL
from amqp_broker.auth.users import Peer, User, Users
from amqp_broker.broker import Broker
from amqp_broker.config import AuthEntry, Config, HttpAuth, OAuth
from tests.support.client import Client, World
from tests.support.remote import Remote

HTTP = HttpAuth(user_path="http://a/u", vhost_path="http://a/v", resource_path="http://a/r", topic_path="http://a/t")
ALICE = Credentials("alice", b"pw", Peer())


def users() -> Users:
    users = Users(frozenset())
    users.add(User(name="alice", password=b"pw", permissions={"/": ALL}))
    return users


def test_the_first_that_lets_a_client_in_answers_for_it() -> None:
    remote, seen = Remote(), list[Identity | None]()
    config = Config(auth_backends=(AuthEntry("internal"), AuthEntry("http")), auth_http=HTTP)
    chain = make_chain(config, users(), remote.fetch, lambda: 0.0)
    chain.authenticate(ALICE, seen.append)
    assert remote.is_idle
    assert seen[0] is not None
    assert isinstance(seen[0].authorizer, InternalBackend)
    chain.authenticate(Credentials("bob", b"pw", Peer()), seen.append)
    remote.answer(b"allow")
    assert seen[1] is not None
    assert seen[1].name == "bob"
    assert not isinstance(seen[1].authorizer, InternalBackend)
    chain.authenticate(Credentials("eve", b"pw", Peer()), seen.append)
    remote.answer(b"deny")
    assert seen[2] is None


def test_one_may_authenticate_and_another_authorize() -> None:
    remote, seen = Remote(), list[Identity | None]()
    config = Config(auth_backends=(AuthEntry("http", "internal"),), auth_http=HTTP)
    chain = make_chain(config, users(), remote.fetch, lambda: 0.0)
    chain.authenticate(ALICE, seen.append)
    remote.answer(b"allow")
    (identity,) = seen
    assert identity is not None
    assert isinstance(identity.authorizer, InternalBackend)
    decisions: list[bool] = []
    identity.authorizer.may_open(identity, "/", Peer(), decisions.append)
    identity.authorizer.may_open(identity, "other", Peer(), decisions.append)
    assert decisions == [True, False]


@pytest.mark.parametrize("name", ["http", "oauth2"])
def test_a_backend_without_its_settings_is_named(name: str) -> None:
    with pytest.raises(AuthConfigError, match=f"the backend {name} needs"):
        Broker(Config(auth_backends=(AuthEntry(name),)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["", "auth.test/user", "ftp://auth.test/", "http:///user", "http://[::1/", "http://a:x/"]
)
def test_an_address_that_is_none_is_named(url: str) -> None:
    with pytest.raises(AuthConfigError, match="is no URL"):
        Broker(Config(auth_backends=(AuthEntry("http"),), auth_http=attrs.evolve(HTTP, topic_path=url)))


def test_a_key_that_is_none_is_named(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("nonsense")
    for keys, says in [((("k", path),), "no public key in PEM form"), ((("k", tmp_path / "none"),), "can't read")]:
        config = Config(
            auth_backends=(AuthEntry("oauth2"),), auth_oauth2=OAuth(resource_server_id="mq", signing_keys=keys)
        )
        with pytest.raises(AuthConfigError, match=says):
            Broker(config)


@pytest.mark.rule("1.14")
def test_loopback_users_are_so_wherever_they_are_known() -> None:
    world = World(Config(auth_backends=(AuthEntry("http"),), auth_http=HTTP))
    remote = Remote()
    world.broker.fetch = remote.fetch
    for address, is_let_in in (("192.0.2.7", False), ("127.0.0.1", True)):
        client = Client(world, peer=Peer(address, 1))
        client.login()
        if not remote.is_idle:
            remote.answer(b"allow")
        client.pump()
        assert bool(client.connection.user) is is_let_in


def test_without_a_network_a_remote_backend_says_no() -> None:
    world = World(Config(auth_backends=(AuthEntry("http"),), auth_http=HTTP))
    client = Client(world)
    client.login()
    client.expect_close(403)
