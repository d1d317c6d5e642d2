"""A stream keeps what was read: one reader sees the whole past, another begins where it left off.

python replay.py [amqp://guest:guest@127.0.0.1:5672]
"""

import sys

import pika

EVENTS = [b"opened", b"deposited 10", b"withdrew 3", b"deposited 5", b"closed"]


def read(connection, offset, count):
    """Read so many events from an offset: a number, "first", "last", "next", or a time."""
    channel = connection.channel()
    channel.basic_qos(prefetch_count=100)  # streams want it
    events = []
    for method, properties, body in channel.consume("account", arguments={"x-stream-offset": offset}):
        channel.basic_ack(method.delivery_tag)
        events.append((properties.headers["x-stream-offset"], body.decode()))
        if len(events) == count:
            break
    channel.close()
    return events


def main(url):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare(
            "account", durable=True, arguments={"x-queue-type": "stream", "x-max-length-bytes": 1_000_000_000}
        )
        for event in EVENTS:
            channel.basic_publish("", "account", event)
        for offset, event in read(connection, "first", len(EVENTS)):
            print(f"audit: {offset} {event}")
        for offset, event in read(connection, 3, 2):
            print(f"balance, from 3 on: {offset} {event}")
        channel.queue_delete("account")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@127.0.0.1:5672")
