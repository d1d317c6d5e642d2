"""Fixtures of the conformance tests."""

from __future__ import annotations

import pytest

from tests.support.client import Client, World


@pytest.fixture
def newcomer(world: World) -> Client:
    """A client that has said nothing yet."""
    return Client(world)
