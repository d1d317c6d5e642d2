"""Fixtures of the whole suite."""

import pytest

import amqp_codec
from tests.support.client import ChannelClient, Client, World


def pytest_report_header() -> str:
    return f"the codec is {'compiled' if amqp_codec.COMPILED else 'plain Python'}"


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
