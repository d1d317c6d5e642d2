"""From connection.start to the answer to start-ok: mechanisms, refusals, limits before tuning (chapter 1b)."""

from __future__ import annotations

import pytest

from amqp_broker.auth.permissions import ALL
from amqp_broker.auth.users import Peer, User
from amqp_broker.config import Config
from amqp_codec import (
    ChannelOpen,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionSecure,
    ConnectionSecureOk,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUpdateSecret,
    QueueDeclare,
    Table,
    decode_method,
    encode_frame,
    encode_method_frame,
    encode_method_payload,
    encode_table,
)
from tests.support.client import Client, World
from tests.support.handshake import START_OK, expect_silent_close, is_let_in, tuned_client

REFUSED = "ACCESS_REFUSED - Login was refused using authentication mechanism {}. For details see the broker logfile."


@pytest.mark.rule("1.4", "1.5")
def test_start_offers_mechanisms_and_a_locale(newcomer: Client) -> None:
    start = newcomer.begin()
    assert start.mechanisms == b"PLAIN AMQPLAIN ANONYMOUS"
    assert start.locales == b"en_US"


@pytest.mark.rule("1.4")
@pytest.mark.parametrize("locale", ["", "de_DE", "x" * 255])
def test_the_client_s_locale_is_ignored(newcomer: Client, locale: str) -> None:
    newcomer.begin()
    newcomer.send(0, ConnectionStartOk(mechanism="PLAIN", response=b"\0guest\0guest", locale=locale))
    newcomer.expect(0, ConnectionTune)


@pytest.mark.rule("1.5", "1.8")
def test_anonymous_is_not_offered_when_nobody_is_meant() -> None:
    client = Client(World(Config(anonymous_user=None)))
    client.login(mechanism="ANONYMOUS", response=b"")
    expect_silent_close(client)
    assert Client(client.world).begin().mechanisms == b"PLAIN AMQPLAIN"


@pytest.mark.rule("1.6")
@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"guest",
        b"guest\0guest",
        b"\0guest",
        b"\0\0guest\0guest",
        b"\0guest\0guest\0",
        b"\0guest\0guest\0more",
        b"guest\0guest\0guest",
        b"admin\0guest\0guest",
    ],
)
def test_plain_takes_two_parts_each_led_by_nul(newcomer: Client, response: bytes) -> None:
    newcomer.login(response=response)
    expect_silent_close(newcomer)


@pytest.mark.rule("1.6")
def test_plain_lets_the_user_in(newcomer: Client) -> None:
    newcomer.login(response=b"\0guest\0guest")
    assert is_let_in(newcomer)
    assert newcomer.connection.user == "guest"


@pytest.mark.rule("1.6")
def test_plain_passes_on_octets_that_are_no_text(world: World) -> None:
    world.broker.users.add(User(name="ü", password="pässword".encode(), permissions={"/": ALL}))
    client = Client(world)
    client.login(response="\0ü\0pässword".encode())
    assert is_let_in(client)
    other = Client(world)
    other.login(response=b"\0\xff\xfe\0pw")
    assert other.expect_close(403, REFUSED.format("PLAIN"))


@pytest.mark.rule("1.7")
@pytest.mark.parametrize(
    "response",
    [
        b"\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest",
        b"\x05LOGINx\x00\x00\x00\x05guest\x08PASSWORDx\x00\x00\x00\x05guest",
        b"\x08PASSWORDS\x00\x00\x00\x05guest\x05LOGINS\x00\x00\x00\x05guest",
        b"\x05otherI\x00\x00\x00\x05\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest",
    ],
)
def test_amqplain_takes_a_table_without_its_length(newcomer: Client, response: bytes) -> None:
    newcomer.login(mechanism="AMQPLAIN", response=response)
    assert is_let_in(newcomer)
    assert newcomer.connection.user == "guest"


@pytest.mark.rule("1.7")
@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"\0guest\0guest",
        encode_table({"LOGIN": b"guest", "PASSWORD": b"guest"}),
        encode_table({"LOGIN": b"guest"})[4:],
        encode_table({"PASSWORD": b"guest"})[4:],
        encode_table({"login": b"guest", "password": b"guest"})[4:],
        encode_table({"LOGIN": 5, "PASSWORD": b"guest"})[4:],
        encode_table({"LOGIN": b"guest", "PASSWORD": True})[4:],
        encode_table({"LOGIN": b"guest", "PASSWORD": b"guest"})[4:-1],
    ],
)
def test_another_amqplain_response_is_a_silent_close(newcomer: Client, response: bytes) -> None:
    newcomer.login(mechanism="AMQPLAIN", response=response)
    expect_silent_close(newcomer)


@pytest.mark.rule("1.8")
@pytest.mark.parametrize("response", [b"", b"somebody", b"\0guest\0wrong", b"\xff"])
def test_anonymous_is_the_configured_user_whatever_the_response(response: bytes) -> None:
    client = Client(World(Config(anonymous_user="guest")))
    client.login(mechanism="ANONYMOUS", response=response)
    assert is_let_in(client)
    assert client.connection.user == "guest"


@pytest.mark.rule("1.8", "1.11", "1.14")
def test_anonymous_is_refused_like_the_user_it_stands_for(world: World) -> None:
    far = Client(world, peer=Peer("192.0.2.1", 1))
    far.login(mechanism="ANONYMOUS", response=b"")
    far.expect_close(403, REFUSED.format("ANONYMOUS"))
    nobody = Client(World(Config(anonymous_user="nobody")))
    nobody.login(mechanism="ANONYMOUS", response=b"")
    nobody.expect_close(403, REFUSED.format("ANONYMOUS"))


@pytest.mark.rule("1.10")
def test_secure_and_secure_ok_can_be_decoded() -> None:
    assert decode_method(b"\x00\x0a\x00\x14\x00\x00\x00\x02hi") == ConnectionSecure(challenge=b"hi")
    assert decode_method(b"\x00\x0a\x00\x15\x00\x00\x00\x02ho") == ConnectionSecureOk(response=b"ho")


WRONG = [
    ("PLAIN", b"\0guest\0wrong"),
    ("PLAIN", b"\0nobody\0guest"),
    ("PLAIN", b"\0\0"),
    ("PLAIN", b"\0nobody\0"),
    ("PLAIN", b"\0guest\0"),
    ("AMQPLAIN", encode_table({"LOGIN": b"guest", "PASSWORD": b"wrong"})[4:]),
    ("AMQPLAIN", encode_table({"LOGIN": b"nobody", "PASSWORD": b"guest"})[4:]),
]


@pytest.mark.rule("1.11", "1.18")
@pytest.mark.parametrize(("mechanism", "response"), WRONG)
def test_a_client_that_can_be_told_is_told_that_its_login_was_refused(
    newcomer: Client, mechanism: str, response: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    newcomer.login(mechanism=mechanism, response=response)
    close = newcomer.expect_close(403, REFUSED.format(mechanism))
    assert (close.failing_class_id, close.failing_method_id) == (0, 0)
    newcomer.send(0, ConnectionCloseOk())
    newcomer.expect_finished()
    assert len(caplog.records) == 1


@pytest.mark.rule("1.12", "1.18")
@pytest.mark.parametrize(("mechanism", "response"), WRONG)
@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"capabilities": {}},
        {"capabilities": {"authentication_failure_close": False}},
        {"capabilities": {"authentication_failure_close": b"true"}},
        {"capabilities": b"authentication_failure_close"},
        {"capabilities": None},
        {"authentication_failure_close": True},
    ],
)
def test_another_client_is_not(newcomer: Client, mechanism: str, response: bytes, properties: Table) -> None:
    newcomer.login(mechanism=mechanism, response=response, properties=properties)
    expect_silent_close(newcomer)


@pytest.mark.rule("1.12")
@pytest.mark.parametrize("mechanism", ["", "plain", "EXTERNAL", "RABBIT-CR-DEMO", "x" * 255])
def test_an_unknown_mechanism_is_a_silent_close(newcomer: Client, mechanism: str) -> None:
    newcomer.login(mechanism=mechanism)
    expect_silent_close(newcomer)


BEFORE_TUNE = [
    encode_method_frame(0, ConnectionTuneOk(channel_max=1, frame_max=8192, heartbeat=1)),
    encode_method_frame(0, ConnectionOpen(virtual_host="/")),
    encode_method_frame(0, ConnectionSecureOk(response=b"x")),
    encode_method_frame(0, ConnectionUpdateSecret()),
    encode_method_frame(0, ConnectionCloseOk()),
    encode_method_frame(0, QueueDeclare(queue="q")),
    encode_method_frame(1, ChannelOpen()),
    encode_method_frame(1, QueueDeclare(queue="q")),
    encode_frame(1, 0, b"\x00\x0a\x00\x0b\x00\x00"),
    encode_frame(1, 0, b"\x00\x0a\x03\xe7"),
    encode_frame(1, 0, b""),
    encode_frame(2, 1, bytes(14)),
    encode_frame(3, 1, b"body"),
    encode_frame(8, 1, b""),
    encode_frame(8, 0, b"x"),
    encode_frame(77, 0, b"x"),
    b"\x01\x00\x00\x00\x00\x00\x04\x00\x0a\x00\x33\x00",
    b"\x01\x00\x00\xff\xff\xff\xff",
]


@pytest.mark.rule("1.12", "1.53")
@pytest.mark.parametrize("octets", BEFORE_TUNE)
def test_any_error_before_tune_is_a_silent_close(
    newcomer: Client, octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    newcomer.begin()
    newcomer.send_octets(octets)
    newcomer.expect_nothing()
    expect_silent_close(newcomer)
    assert len(caplog.records) == 1


AFTER_TUNE = [octets for octets in BEFORE_TUNE if not octets.startswith(BEFORE_TUNE[0][:11])]


@pytest.mark.rule("1.23", "1.53")
@pytest.mark.parametrize("octets", [*AFTER_TUNE, encode_method_frame(0, START_OK)])
def test_any_other_error_between_tune_and_tune_ok_too(
    world: World, octets: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    client = tuned_client(world)
    client.send_octets(octets)
    client.expect_nothing()
    expect_silent_close(client)
    assert len(caplog.records) == 1


@pytest.mark.rule("1.13")
@pytest.mark.parametrize("stored", ["", "secret"])
@pytest.mark.parametrize(
    ("mechanism", "response"), [("PLAIN", b"\0blank\0"), ("AMQPLAIN", b"\x05LOGINS\0\0\0\5blank\x08PASSWORDS\0\0\0\0")]
)
def test_a_blank_password_never_fits(world: World, stored: str, mechanism: str, response: bytes) -> None:
    world.broker.users.add(User(name="blank", password=stored.encode(), permissions={"/": ALL}))
    client = Client(world)
    client.login(mechanism=mechanism, response=response)
    client.expect_close(403, REFUSED.format(mechanism))


@pytest.mark.rule("1.14", "1.11")
@pytest.mark.parametrize("address", ["192.0.2.1", "10.0.0.1", "0.0.0.0", "2001:db8::1", "::ffff:192.0.2.1", "::"])
def test_guest_is_refused_from_elsewhere_as_with_a_wrong_password(world: World, address: str) -> None:
    client = Client(world, peer=Peer(address, 40_000))
    client.login()
    client.expect_close(403, REFUSED.format("PLAIN"))


@pytest.mark.rule("1.14")
@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", ""])
def test_guest_may_come_from_a_loopback_address(world: World, address: str) -> None:
    client = Client(world, peer=Peer(address, 40_000))
    client.login()
    assert is_let_in(client)


@pytest.mark.rule("1.14")
def test_which_users_are_bound_to_loopback_is_configured() -> None:
    world = World(Config(loopback_users=frozenset()))
    client = Client(world, peer=Peer("192.0.2.1", 40_000))
    client.login()
    assert is_let_in(client)


def start_ok_of(payload_octets: int) -> bytes:
    method = ConnectionStartOk(mechanism="PLAIN", response=b"\0guest\0guest", locale="en_US")
    missing = payload_octets - len(encode_method_payload(method)) - len(encode_table({"x": b""})) + 4
    method.client_properties = {"x": bytes(missing)}
    payload = encode_method_payload(method)
    assert len(payload) == payload_octets
    return encode_frame(1, 0, payload)


@pytest.mark.rule("1.15")
def test_before_tuning_8192_octets_are_the_most(world: World) -> None:
    client = Client(world)
    client.begin()
    client.send_octets(start_ok_of(8192))
    assert is_let_in(client)
    other = Client(world)
    other.begin()
    other.send_octets(start_ok_of(8193))
    other.expect_nothing()
    expect_silent_close(other)


@pytest.mark.rule("1.15", "1.20")
def test_the_limit_after_tuning_holds_for_what_came_in_the_same_segment(world: World) -> None:
    client = tuned_client(world)
    tune = encode_method_frame(0, ConnectionTuneOk(channel_max=9, frame_max=131072, heartbeat=0))
    open_ = encode_method_frame(0, ConnectionOpen(virtual_host="/"))
    channel = encode_method_frame(1, ChannelOpen())
    large = encode_method_frame(1, QueueDeclare(queue="q", arguments={"x": bytes(20_000)}))
    client.send_octets(tune + open_ + channel + large)
    assert [type(command.method).__name__ for command in client.inbox] == [
        "ConnectionOpenOk",
        "ChannelOpenOk",
        "QueueDeclareOk",
    ]
