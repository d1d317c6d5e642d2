"""Ways to say who one is, and from where: forms, tokens, pages of other sites, a prefix of all paths."""

from __future__ import annotations

import base64

import pytest
import trio

from amqp_broker.administration.users import add_user
from amqp_broker.auth.backend import Credentials, Identify, Identity
from amqp_broker.auth.backends.internal import InternalBackend
from amqp_broker.auth.users import Peer, Tls
from amqp_broker.config import Config
from tests.management.support import api_of
from tests.support.client import Client, World


async def test_a_form_gives_what_to_send_from_then_on() -> None:
    async with api_of(World().broker, None) as api:
        answer = await api.post("login", data={"username": "guest", "password": "guest"})
        assert answer.json() == {
            "token": {"type": "basic", "value": base64.b64encode(b"guest:guest").decode()},
            "user": {"name": "guest", "tags": ["administrator"], "is_internal_user": True},
        }
        header = {"authorization": f"Basic {answer.json()['token']['value']}"}
        assert (await api.get("whoami", headers=header)).status_code == 200
        assert (await api.delete("login")).status_code == 204


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpx: nobody reads to the end
async def test_a_form_that_is_wrong(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    add_user(world.broker, "untagged", "p", ())
    async with api_of(world.broker, None) as api:
        for fields in ({"username": "guest", "password": "x"}, {"username": "guest"}, {}):
            refused = await api.post("login", data=fields)
            assert (refused.status_code, refused.json()["error"]) == (401, "not_authorized")
        refused = await api.post("login", data={"username": "untagged", "password": "p"})
        assert (refused.status_code, refused.json()["reason"]) == (401, "Not management user")
        assert (await api.post("login", content=b"\xff=1")).status_code == 400
        assert (await api.post("login", content=b"a" * 5001)).status_code == 400


async def test_a_bearer_token_is_what_the_backend_of_tokens_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    asked: list[Credentials] = []
    authorizer = InternalBackend(world.broker.users)

    def authenticate(credentials: Credentials, done: Identify) -> None:
        asked.append(credentials)
        is_right = credentials.password == b"a.b.c"
        done(Identity("tina", frozenset({"management"}), authorizer) if is_right else None)

    monkeypatch.setattr(world.broker.auth, "authenticate", authenticate)
    async with api_of(world.broker, None) as api:
        assert (await api.get("whoami", headers={"authorization": "Bearer a.b.c"})).json()["name"] == "tina"
        assert (await api.get("whoami", headers={"authorization": "Bearer x"})).status_code == 401
    assert [(credentials.name, credentials.password) for credentials in asked] == [("", b"a.b.c"), ("", b"x")]


@pytest.mark.parametrize(
    ("origins", "origin", "is_let_in"),
    [
        ((), "https://a.example", False),
        (("https://a.example",), "https://a.example", True),
        (("https://a.example",), "https://b.example", False),
        (("*",), "https://b.example", True),
    ],
)
async def test_pages_of_other_sites(origins: tuple[str, ...], origin: str, is_let_in: bool) -> None:
    config = Config(management_cors_origins=origins, management_cors_max_age_s=7)
    async with api_of(World(config).broker) as api:
        asked = {"origin": origin, "access-control-request-method": "PUT", "access-control-request-headers": "x-reason"}
        first = (await api.options("queues/%2F/q", headers=asked)).headers
        then = (await api.get("whoami", headers={"origin": origin})).headers
        assert "access-control-allow-origin" not in (await api.get("whoami")).headers
    if is_let_in:
        assert then["access-control-allow-origin"] == first["access-control-allow-origin"] == origin
        assert first["access-control-allow-methods"] == "HEAD, GET, PUT, DELETE, OPTIONS"
        assert (first["access-control-allow-headers"], first["access-control-max-age"]) == ("x-reason", "7")
        assert "access-control-max-age" not in then
    else:
        assert not any(name.startswith("access-control") for name in (*first, *then))


async def test_a_prefix_of_all_paths() -> None:
    async with api_of(World(Config(management_path_prefix="/rabbit")).broker) as api:
        queue = await api.put("http://broker/rabbit/api/queues/%2F/a%2Fb", json={"durable": True})
        assert queue.status_code == 201
        assert (await api.get("http://broker/rabbit/api/queues/%2F/a%2Fb")).json()["name"] == "a/b"
        assert "<script" in (await api.get("http://broker/rabbit/")).text
        for path in ("", "rabbit"):
            assert (await api.get(f"http://broker/{path}")).headers["location"] == "/rabbit/"
        for path in ("api/whoami", "rabbitmq/api/whoami"):
            assert (await api.get(f"http://broker/{path}")).status_code == 404


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpx: nobody reads to the end
async def test_a_body_is_as_long_as_the_configuration_allows() -> None:
    async with api_of(World(Config(management_max_body_octets=100)).broker) as api:
        assert (await api.put("global-parameters/g", json={"value": "x" * 80})).status_code == 201
        assert (await api.put("global-parameters/g", json={"value": "x" * 100})).status_code == 400


async def test_what_was_agreed_on_a_tls_connection_is_shown() -> None:
    world = World()
    tls = Tls("tlsv1.3", "any", "aes_256_gcm", "aead", "CN=app", "CN=CA", "then - now", "10")
    Client(world, peer=Peer("127.0.0.1", 40000, is_encrypted=True, tls=tls)).open()
    async with api_of(world.broker) as api:
        (record,) = (await api.get("connections")).json()
    shown = {name: value for name, value in record.items() if name.startswith(("ssl", "peer_cert"))}
    assert shown == {
        "ssl": True,
        "ssl_protocol": "tlsv1.3",
        "ssl_key_exchange": "any",
        "ssl_cipher": "aes_256_gcm",
        "ssl_hash": "aead",
        "peer_cert_subject": "CN=app",
        "peer_cert_issuer": "CN=CA",
        "peer_cert_validity": "then - now",
        "peer_cert_serial_number": "10",
    }
