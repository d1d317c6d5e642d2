"""Fixtures of the whole suite."""

import pytest

import amqp_broker
import amqp_codec
from tests.support.client import ChannelClient, Client, World


def pytest_report_header() -> str:
    forms = {package.__name__: package.COMPILED for package in (amqp_codec, amqp_broker)}
    return ", ".join(f"{name}: {'compiled' if compiled else 'plain Python'}" for name, compiled in forms.items())


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
