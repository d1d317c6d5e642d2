"""Brokers and servers of NATS that die, stop and lose their links, under load; then a checker."""
