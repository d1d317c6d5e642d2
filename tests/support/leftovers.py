"""What client libraries leave behind, put away where it was left."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def forget_open_sockets_of_clients() -> Iterator[None]:
    """Collect what a test's clients left open.

    pika keeps the socket pair of its event loop open when a connection is lost, and Python complains of that
    when it comes across it: in whatever test runs then, if not here.
    """
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
