"""Fixtures for tests of embedded brokers with stock clients."""

from tests.support.leftovers import forget_open_sockets_of_clients

__all__ = ["forget_open_sockets_of_clients"]
