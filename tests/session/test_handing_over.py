"""A client whose vhost another node may have: held, handed over, taken back, sent away."""

from __future__ import annotations

import pytest

from amqp_broker.auth.users import Peer
from amqp_broker.config import Config
from amqp_broker.placement import Elsewhere, Found
from amqp_codec import (
    HEARTBEAT_FRAME,
    PROTOCOL_HEADER,
    ChannelOpen,
    ChannelOpenOk,
    Command,
    CommandReader,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    encode_method_frame,
)
from tests.support.client import PLAIN_GUEST, Client, World

HOLD_S = 5.0
OTHER = Elsewhere("other", "192.0.2.7", 25672)


class Map:
    """A placement that the test changes."""

    def __init__(self) -> None:
        self.here: set[str] = set()
        self.elsewhere: dict[str, Elsewhere] = {}
        self.asked: list[tuple[str, Found]] = []

    def is_here(self, vhost: str) -> bool:
        return vhost in self.here

    def locate(self, vhost: str, found: Found) -> None:
        if vhost in self.here:
            found(None)
        elif vhost in self.elsewhere:
            found(self.elsewhere[vhost])
        else:
            self.asked.append((vhost, found))

    def forget(self, vhost: str, found: Found) -> None:
        if (vhost, found) in self.asked:
            self.asked.remove((vhost, found))

    def tell(self) -> None:
        asked, self.asked = self.asked, []
        for vhost, found in asked:
            self.locate(vhost, found)


@pytest.fixture
def places(world: World) -> Map:
    places = Map()
    world.broker.placement = places
    return places


@pytest.fixture
def world() -> World:
    return World(Config(cluster_hold_s=HOLD_S))


def opening(world: World, *, heartbeat: int = 0, then: bytes = b"", peer: Peer | None = None) -> Client:
    """A client that has asked for a vhost."""
    client = Client(world, peer=peer)
    client.login()
    client.expect(0, ConnectionTune)
    client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131072, heartbeat=heartbeat))
    client.send_octets(encode_method_frame(0, ConnectionOpen(virtual_host="/")) + then)
    return client


def test_a_vhost_of_this_node_is_opened_as_ever(world: World, places: Map) -> None:
    places.here.add("/")
    opening(world).expect(0, ConnectionOpenOk)


def test_a_client_of_another_nodes_vhost_is_handed_over(world: World, places: Map) -> None:
    places.elsewhere["/"] = OTHER
    client = opening(world, heartbeat=10)
    client.expect_nothing()
    ((parcel, to),) = client.handed_over
    assert to == OTHER
    assert parcel.vhost == "/"
    assert parcel.peer == client.connection.peer
    assert parcel.octets.startswith(PROTOCOL_HEADER)
    commands = CommandReader(0, 1 << 20, 1 << 20).receive(parcel.octets[len(PROTOCOL_HEADER) :])
    methods = [command.method for command in commands if isinstance(command, Command)]
    assert [type(method) for method in methods] == [ConnectionStartOk, ConnectionTuneOk, ConnectionOpen]
    assert isinstance(methods[0], ConnectionStartOk)
    assert methods[0].response == PLAIN_GUEST
    assert methods[0].client_properties == client.connection.client_properties


def test_what_is_handed_over_is_nothing_of_this_node_any_more(world: World, places: Map) -> None:
    places.elsewhere["/"] = OTHER
    following = encode_method_frame(1, ChannelOpen()) + b"\x01\x00"
    client = opening(world, heartbeat=1, then=following)
    assert client.connection in world.broker.clients
    assert client.connection.handed_over() == following
    assert client.connection not in world.broker.clients
    world.advance(3600)
    client.expect_nothing()  # no heartbeat, no deadline
    client.expect_connected()
    client.connection.force_close("shutdown")
    client.expect_dropped()


def test_a_client_is_held_until_somebody_has_its_vhost(world: World, places: Map) -> None:
    client = opening(world, then=encode_method_frame(1, ChannelOpen()))
    world.advance(HOLD_S - 0.1)
    client.expect_nothing()
    assert not client.handed_over
    assert not client.connection.may_read
    places.elsewhere["/"] = OTHER
    places.tell()
    assert len(client.handed_over) == 1


def test_a_held_client_goes_on_here_when_the_vhost_comes_here(world: World, places: Map) -> None:
    client = opening(world, heartbeat=1, then=encode_method_frame(1, ChannelOpen()))
    world.advance(HOLD_S - 1)
    client.expect_nothing()
    assert HEARTBEAT_FRAME not in client.raw  # which some take for the answer
    places.here.add("/")
    places.tell()
    client.expect(0, ConnectionOpenOk)
    client.expect(1, ChannelOpenOk)
    assert client.connection.may_read
    world.advance(1.9)
    client.pump()
    assert HEARTBEAT_FRAME in client.raw
    client.expect_connected()
    world.advance(1.2)
    client.expect_dropped()


def test_who_was_not_taken_is_sought_again(world: World, places: Map) -> None:
    places.elsewhere["/"] = OTHER
    client = opening(world)
    search = client.connection.handshake.handing_over
    assert search is not None
    search.not_taken()
    assert len(client.handed_over) == 1
    world.advance(0.25)
    assert len(client.handed_over) == 2
    places.here.add("/")
    search.not_taken()
    world.advance(0.25)
    client.expect(0, ConnectionOpenOk)


def test_a_client_is_not_held_for_ever(world: World, places: Map) -> None:
    client = opening(world)
    world.advance(HOLD_S + 0.1)
    client.expect_close(541, "INTERNAL_ERROR - access to vhost '/' refused for user 'guest': vhost '/' is down")
    assert not places.asked
    places.here.add("/")
    places.tell()
    client.send(0, ConnectionCloseOk())
    client.expect_finished()


def test_nobody_waits_for_a_client_that_is_gone(world: World, places: Map) -> None:
    client = opening(world)
    assert places.asked
    client.drop()
    assert not places.asked


def test_a_vhost_that_nobody_knows_is_refused_at_once(world: World, places: Map) -> None:
    del world.broker.vhosts["/"]
    opening(world).expect_close(530, "NOT_ALLOWED - vhost / not found")


def test_a_refusal_reaches_a_client_that_was_held(world: World, places: Map) -> None:
    client = opening(world)
    world.broker.registry.set_permissions("guest", "/", None)
    places.here.add("/")
    places.tell()
    client.expect_close(530, "NOT_ALLOWED - access to vhost '/' refused for user 'guest'")


def test_what_another_node_has_handed_over_goes_no_further(world: World, places: Map) -> None:
    places.elsewhere["/"] = OTHER
    client = opening(world, peer=Peer("127.0.0.1", 50_000, came_through="other"))
    assert not client.handed_over
    client.expect_dropped()
