"""Queues: what waits in them, who consumes, and what may happen to a message there."""
