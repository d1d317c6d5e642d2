"""A client in the stages of the handshake, and how one is let in or turned away."""

from __future__ import annotations

from amqp_codec import (
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
)
from tests.support.client import Client, World

START_OK = ConnectionStartOk(client_properties={}, mechanism="PLAIN", response=b"\0guest\0guest", locale="en_US")


def tuned_client(world: World) -> Client:
    """A client that has been asked to tune."""
    client = Client(world)
    client.login()
    client.expect(0, ConnectionTune)
    return client


def opening_client(world: World) -> Client:
    """A client that has tuned and not yet opened a vhost."""
    client = tuned_client(world)
    client.send(0, ConnectionTuneOk(channel_max=2047, frame_max=131072, heartbeat=0))
    client.expect_nothing()
    return client


def is_let_in(client: Client) -> bool:
    client.pump()
    if client.inbox:
        client.expect(0, ConnectionTune)
        return True
    return False


def expect_silent_close(client: Client) -> None:
    """Nothing is said, whatever else comes; after three seconds the socket is closed."""
    before = len(client.raw)
    client.send(0, ConnectionTuneOk())
    client.world.advance(2.9)
    client.expect_connected()
    client.world.advance(0.2)
    client.expect_dropped()
    assert len(client.raw) == before
