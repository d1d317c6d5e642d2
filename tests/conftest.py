"""Fixtures of the whole suite."""

import pytest

from tests.support.client import ChannelClient, Client, World


@pytest.fixture
def world() -> World:
    """A broker in memory, with a clock that the test moves."""
    return World()


@pytest.fixture
def client(world: World) -> Client:
    """A client that is logged in."""
    return world.client()


@pytest.fixture
def channel(client: Client) -> ChannelClient:
    """Channel 1 of that client."""
    return client.channel()


@pytest.fixture
def other(world: World) -> ChannelClient:
    """A channel of another connection."""
    return world.channel()
