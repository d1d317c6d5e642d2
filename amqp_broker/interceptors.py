"""Headers that the broker adds to what is published, where it is configured to (rule 5.57)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from amqp_broker.config import Config
from amqp_codec import ContentHeader, Int64, with_properties

TIMESTAMP_IN_MS = "timestamp_in_ms"
ROUTED_BY = "x-routed-by"

Interceptor = Callable[[ContentHeader], ContentHeader]


def interceptor_from(config: Config, now: Callable[[], float]) -> Interceptor | None:
    """Make what is to be done to every content header; None for nothing."""
    if config.set_header_timestamp is None and config.set_header_routing_node is None:
        return None
    return partial(_intercepted, config, now)


def _intercepted(config: Config, now: Callable[[], float], header: ContentHeader) -> ContentHeader:
    properties = header.properties
    headers = dict(properties.headers or {})
    timestamp = properties.timestamp
    if config.set_header_timestamp is not None:
        now_ms = int(now() * 1000)
        if config.set_header_timestamp == "overwrite" or TIMESTAMP_IN_MS not in headers:
            headers[TIMESTAMP_IN_MS] = Int64(now_ms)
        if config.set_header_timestamp == "overwrite" or timestamp is None:
            timestamp = now_ms // 1000
    if config.set_header_routing_node is not None and (
        config.set_header_routing_node == "overwrite" or ROUTED_BY not in headers
    ):
        headers[ROUTED_BY] = config.node_name.encode()
    return with_properties(header, replace(properties, headers=headers, timestamp=timestamp))
