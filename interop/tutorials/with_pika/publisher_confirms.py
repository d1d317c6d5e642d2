"""Publisher confirms: wait for each message; one that reaches no queue comes back.

publisher_confirms.py COUNT
"""

from __future__ import annotations

import os
import sys

import pika


def main() -> None:
    with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
        channel = connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.confirm_delivery()
        count = int(sys.argv[1])
        for n in range(count):
            # Returns once the broker has confirmed, raises if it refuses.
            channel.basic_publish(exchange="", routing_key=queue, body=str(n).encode(), mandatory=True)
        print("confirmed", count)
        try:
            channel.basic_publish(exchange="", routing_key=queue + ".nobody", body=b"lost", mandatory=True)
        except pika.exceptions.UnroutableError as error:
            returned = error.messages[0]
            print("returned", returned.method.reply_code, returned.method.reply_text, returned.body.decode())
        print("queued", channel.queue_declare(queue, passive=True).method.message_count)


if __name__ == "__main__":
    main()
