"""What the drivers in Python share: the scenario and the lines they write."""

from __future__ import annotations

import json
import os
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

URL = os.environ["AMQP_URL"]
HOST = urlsplit(URL).hostname or "localhost"
PORT = urlsplit(URL).port or 5672
USER = urlsplit(URL).username or "guest"
PASSWORD = urlsplit(URL).password or "guest"

CA: str | None = os.environ.get("AMQP_CA")
"""Whom to trust for TLS, a file."""
TLS = None if CA is None else ssl.create_default_context(cafile=CA)

IS_RESTART = sys.argv[-1] == "restart"
RETRY_S = 0.1

with open(sys.argv[1], encoding="utf-8") as _file:
    SCENARIO: dict[str, Any] = json.load(_file)

EXCHANGE: str = SCENARIO["exchange"]
QUEUE: str = SCENARIO["queue"]
BINDING_KEY: str = SCENARIO["binding_key"]
ROUTING_KEY: str = SCENARIO["routing_key"]
UNROUTABLE_KEY: str = SCENARIO["unroutable_key"]
MISSING_QUEUE: str = SCENARIO["missing_queue"]
QUESTION: bytes = SCENARIO["question"].encode()
ANSWER: bytes = SCENARIO["answer"].encode()
BODY: bytes = SCENARIO["body"].encode()
PROPERTIES: dict[str, Any] = SCENARIO["properties"]
REPLY_TO = "amq.rabbitmq.reply-to"


def tell(*what: object) -> None:
    print(json.dumps(what, ensure_ascii=False, default=bytes.decode), flush=True)


def until_it_came_back(session: Callable[[], None], lost: tuple[type[Exception], ...]) -> None:
    """Play the part with the restart: again and again, as programs do, until a session ends without an error."""
    while True:
        try:
            session()
            return
        except lost:
            time.sleep(RETRY_S)


def tell_received(
    exchange: str, routing_key: str, redelivered: bool, body: bytes, properties: Mapping[str, object]
) -> None:
    """Tell of a delivery; properties are those of the scenario's names, whatever the library calls them."""
    tell("received", exchange, routing_key, redelivered, body.decode(), {name: properties[name] for name in PROPERTIES})
