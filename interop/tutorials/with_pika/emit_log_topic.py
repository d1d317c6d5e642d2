"""Topics: publish one message under a key.

emit_log_topic.py KEY MESSAGE
"""

from __future__ import annotations

import os
import sys

import pika


def main() -> None:
    routing_key, message = sys.argv[1:]
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.exchange_declare("topic_logs", exchange_type=pika.exchange_type.ExchangeType.topic)
        channel.basic_publish(exchange="topic_logs", routing_key=routing_key, body=message.encode())
        print("sent", routing_key, message)


if __name__ == "__main__":
    main()
