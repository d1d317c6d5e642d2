"""Publish/subscribe: tell everybody who listens.

emit_log.py MESSAGE...
"""

from __future__ import annotations

import os
import sys

import pika


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.exchange_declare("logs", exchange_type=pika.exchange_type.ExchangeType.fanout)
        for message in sys.argv[1:]:
            channel.basic_publish(exchange="logs", routing_key="", body=message.encode())
            print("sent", message)


if __name__ == "__main__":
    main()
