"""What the drivers in Python share: the scenario and the lines they write."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

URL = os.environ["AMQP_URL"]
HOST = urlsplit(URL).hostname or "localhost"
PORT = urlsplit(URL).port or 5672
USER = urlsplit(URL).username or "guest"
PASSWORD = urlsplit(URL).password or "guest"

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
    print(json.dumps(what, ensure_ascii=False), flush=True)


def tell_received(
    exchange: str, routing_key: str, redelivered: bool, body: bytes, properties: Mapping[str, object]
) -> None:
    """Tell of a delivery; properties are those of the scenario's names, whatever the library calls them."""
    tell("received", exchange, routing_key, redelivered, body.decode(), {name: properties[name] for name in PROPERTIES})
