"""Tokens: which are believed, what their scopes allow, and when they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from amqp_broker.auth.backend import Identity
from amqp_broker.auth.backends.scopes import parse_scopes
from amqp_broker.auth.permissions import Access
from amqp_broker.config import AuthEntry, Config, OAuth
from amqp_codec import (
    BasicConsume,
    BasicConsumeOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
    ConnectionUpdateSecretOk,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.support.client import ChannelClient, Client, World
from tests.support.remote import Remote

KEY = rsa.generate_private_key(65537, 2048)
OTHER_KEY = rsa.generate_private_key(65537, 2048)
SCOPES = "mq.read:*/* mq.write:%2F/q mq.write:*/t/a.* mq.configure:*/q* mq.tag:impersonator other.read:*/*"


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def jwks(**keys: rsa.RSAPrivateKey) -> bytes:
    return json.dumps(
        {
            "keys": [
                {**jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": key_id, "alg": "RS256"}
                for key_id, key in keys.items()
            ]
        }
    ).encode()


class Realm:
    """A broker that takes tokens, and who makes them."""

    def __init__(self, directory: Path, **options: Any) -> None:
        path = directory / "key.pem"
        path.write_bytes(public_pem(KEY))
        keys = {"signing_keys": (("k1", path),), "default_key": "k1"} if "jwks_url" not in options else {}
        oauth = OAuth(resource_server_id="mq", **(keys | options))
        self.world = World(Config(auth_backends=(AuthEntry("oauth2"),), auth_oauth2=oauth, free_login_failures=1000))
        self.remote = Remote()
        self.world.broker.fetch = self.remote.fetch

    def token(self, key: Any = KEY, algorithm: str = "RS256", key_id: str | None = "k1", **changes: Any) -> bytes:
        claims = {"sub": "bob", "aud": ["mq"], "scope": SCOPES, "exp": self.world.time + 60} | changes
        present = {name: value for name, value in claims.items() if value is not None}
        headers = None if key_id is None else {"kid": key_id}
        return jwt.encode(present, key, algorithm, headers=headers).encode()

    def login(self, token: bytes) -> Client:
        client = Client(self.world)
        client.login(response=b"\0whoever\0" + token)
        return client

    def channel(self, token: bytes) -> ChannelClient:
        client = self.login(token)
        client.expect(0, ConnectionTune)
        client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131_072))
        client.call(0, ConnectionOpen(virtual_host="/"), ConnectionOpenOk)
        return client.channel()

    def takes(self, token: bytes) -> bool:
        return bool(self.login(token).connection.user)


@pytest.fixture
def realm(tmp_path: Path) -> Realm:
    return Realm(tmp_path)


def test_a_token_says_who_its_user_is(realm: Realm) -> None:
    client = realm.login(realm.token())
    client.expect(0, ConnectionTune)
    identity = client.connection.identity
    assert identity is not None
    assert identity.name == "bob"
    assert identity.tags == {"impersonator"}


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"},
        {"aud": None},
        {"aud": {"mq": 1}},
        {"exp": 999_999},
        {"exp": "tomorrow"},
        {"exp": True},
        {"nbf": 2_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"key": OTHER_KEY},
        {"key_id": "k2"},
        {"algorithm": "none", "key": None},
        {"algorithm": "HS256", "key": "0" * 32},
    ],
)
def test_tokens_that_are_not_believed(realm: Realm, changes: dict[str, Any]) -> None:
    assert realm.takes(realm.token())
    assert not realm.takes(realm.token(**changes))


def test_a_public_key_is_no_secret(realm: Realm) -> None:
    """Signed with the public key's own text, as if it were a shared secret."""
    import base64
    import hashlib
    import hmac

    def part(content: object) -> bytes:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")

    claims = {"sub": "bob", "aud": "mq", "scope": SCOPES, "exp": realm.world.time + 60}
    signed = part({"alg": "HS256", "kid": "k1"}) + b"." + part(claims)
    signature = hmac.digest(public_pem(KEY), signed, hashlib.sha256)
    assert not realm.takes(signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"="))


@pytest.mark.parametrize("password", [b"", b"pw", b"a.b.c", b"\xff.\xff.\xff", b"e30.e30.", b"." * 4000])
def test_what_is_no_token_is_refused(realm: Realm, password: bytes) -> None:
    assert not realm.takes(password)


def test_a_token_without_a_key_id_is_checked_with_the_default_key(realm: Realm) -> None:
    assert realm.takes(realm.token(key_id=None))


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(ec.generate_private_key(ec.SECP256R1()), "ES256"), (ed25519.Ed25519PrivateKey.generate(), "EdDSA")],
)
def test_other_kinds_of_keys(tmp_path: Path, key: Any, algorithm: str) -> None:
    path = tmp_path / "other.pem"
    path.write_bytes(public_pem(key))
    realm = Realm(tmp_path, signing_keys=(("k1", path),))
    assert realm.takes(realm.token(key=key, algorithm=algorithm))
    assert not realm.takes(realm.token())


def test_a_shared_secret_is_one_only_as_a_jwk(tmp_path: Path) -> None:
    path = tmp_path / "secret.json"
    path.write_text(json.dumps({"kty": "oct", "k": "MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA", "alg": "HS256"}))
    realm = Realm(tmp_path, signing_keys=(("k1", path),))
    assert realm.takes(realm.token(key="0" * 32, algorithm="HS256"))
    assert not realm.takes(realm.token(key="1" * 32, algorithm="HS256"))


def test_options_for_claims(tmp_path: Path) -> None:
    realm = Realm(
        tmp_path,
        issuer="https://id.test",
        require_expiry=True,
        verify_audience=False,
        username_claims=("email", "sub"),
        additional_scopes_key="roles",
        scope_aliases=(("reader", "mq.read:*/* mq.tag:monitoring"),),
    )
    assert not realm.takes(realm.token())
    assert not realm.takes(realm.token(iss="https://id.test", exp=None))
    client = realm.login(realm.token(iss="https://id.test", aud=None, scope=None, roles=["reader"], email="b@x"))
    identity = client.connection.identity
    assert identity is not None
    assert identity.name == "b@x"
    assert identity.tags == {"monitoring"}


def test_only_chosen_algorithms_are_taken(tmp_path: Path) -> None:
    realm = Realm(tmp_path, algorithms=("RS512",))
    assert not realm.takes(realm.token())


# JWKS


def test_keys_are_fetched_when_one_is_missing_and_not_again(tmp_path: Path) -> None:
    realm = Realm(tmp_path, jwks_url="https://id.test/keys")
    client = realm.login(realm.token())
    other = realm.login(realm.token())
    client.expect_nothing()
    assert [request.url for request in realm.remote.requests] == ["https://id.test/keys"]
    realm.remote.answer(jwks(k1=KEY))
    for each in (client, other):
        each.pump()
        each.expect(0, ConnectionTune)
    assert realm.takes(realm.token())
    assert realm.remote.is_idle


def test_unknown_keys_do_not_make_it_ask_without_end(tmp_path: Path) -> None:
    realm = Realm(tmp_path, jwks_url="https://id.test/keys")
    for number in range(20):
        client = realm.login(realm.token(key_id=f"made up {number}"))
        if not realm.remote.is_idle:
            realm.remote.answer(jwks(k1=KEY))
        client.pump()
        client.expect_close(403)
    assert len(realm.remote.requests) == 1
    realm.world.advance(11)
    realm.login(realm.token(key=OTHER_KEY, key_id="k2"))
    realm.remote.answer(jwks(k1=KEY, k2=OTHER_KEY))
    assert realm.takes(realm.token(key=OTHER_KEY, key_id="k2"))


@pytest.mark.parametrize(
    "body", [None, b"", b"[]", b"{}", b'{"keys": 1}', b'{"keys": [1, {}, {"kty": "RSA"}, {"kty": "oct", "k": "MA"}]}']
)
def test_what_is_no_set_of_keys_leaves_the_keys_that_were_there(tmp_path: Path, body: bytes | None) -> None:
    realm = Realm(tmp_path, jwks_url="https://id.test/keys")
    client = realm.login(realm.token())
    realm.remote.answer(body)
    client.pump()
    client.expect_close(403)


# What is allowed


def test_scopes_allow_and_the_rest_is_refused(realm: Realm) -> None:
    channel = realm.channel(realm.token())
    channel.call(QueueDeclare(queue="q"), QueueDeclareOk)
    channel.send(QueueDeclare(queue="other"))
    channel.expect_close(403, "ACCESS_REFUSED - configure access to queue 'other' in vhost '/' refused for user 'bob'")


@pytest.mark.rule("1.30")
def test_a_vhost_without_any_scope_is_refused(realm: Realm) -> None:
    client = realm.login(realm.token(scope="mq.read:staging/*"))
    client.expect(0, ConnectionTune)
    client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131_072))
    client.send(0, ConnectionOpen(virtual_host="/"))
    client.expect_close(530, "NOT_ALLOWED - access to vhost '/' refused for user 'bob'")


@pytest.mark.parametrize(
    ("scope", "vhost", "name", "key", "allowed"),
    [
        ("mq.write:*/*", "/", "x", "k", True),
        ("mq.write:%2F/x", "/", "x", "k", True),
        ("mq.write:%2F/x", "/", "xy", "k", False),
        ("mq.write:*/x*", "any", "xy", "k", True),
        ("mq.write:*/*y/a.*", "any", "xy", "a.b", True),
        ("mq.write:*/*y/a.*", "any", "xy", "b.a", False),
        ("mq.write:*/a%2Fb", "v", "a/b", "k", True),
        ("mq.write:*/%2A", "v", "x", "k", False),
        ("mq.write:*/%2A", "v", "*", "k", True),
        ("mq.write:*/a.c", "v", "abc", "k", False),
        ("mq.read:*/*", "v", "x", "k", False),
        ("write:*/*", "v", "x", "k", False),
        ("mq.write:*", "v", "x", "k", False),
        ("mq.write:*/*/*/*", "v", "x", "k", False),
        ("mq.writes:*/*", "v", "x", "k", False),
        ("mq.write:v/x", "v\n", "x", "k", False),
    ],
)
def test_how_scopes_match(scope: str, vhost: str, name: str, key: str, allowed: bool) -> None:
    scopes = parse_scopes([scope], "mq.")
    assert scopes.allow_key(Access.WRITE, vhost, name, key) is allowed


# Time


def test_the_connection_ends_with_its_token_unless_another_comes(realm: Realm) -> None:
    channel = realm.channel(realm.token())
    realm.world.advance(50)
    channel.client.send(0, ConnectionUpdateSecret(new_secret=realm.token(), reason="renewal"))
    channel.client.expect(0, ConnectionUpdateSecretOk)
    realm.world.advance(50)
    channel.call(QueueDeclare(queue="q"), QueueDeclareOk)
    realm.world.advance(11)
    channel.client.pump()
    channel.client.expect_close(320, "CONNECTION_FORCED - credential expired")


@pytest.mark.rule("1.37")
@pytest.mark.parametrize("changes", [{"sub": "eve"}, {"key": OTHER_KEY}, {"exp": 1}])
def test_a_token_of_someone_else_is_refused(realm: Realm, changes: dict[str, Any]) -> None:
    channel = realm.channel(realm.token())
    channel.client.send(0, ConnectionUpdateSecret(new_secret=realm.token(**changes), reason=""))
    channel.client.expect_close(530, "NOT_ALLOWED - New secret was refused by one of the backends")


@pytest.mark.rule("1.37")
def test_a_token_that_allows_less_takes_away(realm: Realm) -> None:
    channel = realm.channel(realm.token())
    channel.call(QueueDeclare(queue="q"), QueueDeclareOk)
    channel.call(BasicConsume(queue="q"), BasicConsumeOk)
    channel.publish("q", b"x", exchange="")
    identity = channel.client.connection.identity
    assert isinstance(identity, Identity)
    less = realm.token(scope="mq.write:%2F/other")
    channel.client.send(0, ConnectionUpdateSecret(new_secret=less, reason=""))
    assert not world_consumers(realm)


def world_consumers(realm: Realm) -> int:
    return len(realm.world.broker.vhosts["/"].queues["q"].consumers)
