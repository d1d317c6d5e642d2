"""A worker whose failures come again later, each time after a longer wait, and are parked in the end.

python retries.py [amqp://guest:guest@127.0.0.1:5672]
"""

import sys

import pika

ATTEMPTS = 3
FIRST_DELAY_MS = 100


def declare(channel):
    channel.exchange_declare("later", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    channel.queue_declare("parked", durable=True)
    channel.queue_declare(
        "orders", durable=True, arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "parked"}
    )
    channel.queue_bind("orders", "later")


def work(body):
    raise RuntimeError(f"the shop is closed, no {body.decode()} today")


def on_message(channel, method, properties, body):
    attempt = (properties.headers or {}).get("attempt", 1)
    try:
        work(body)
    except RuntimeError as error:
        print(f"attempt {attempt}: {error}")
        if attempt == ATTEMPTS:
            channel.basic_reject(method.delivery_tag, requeue=False)
            channel.stop_consuming()
            return
        delay_ms = FIRST_DELAY_MS * 2 ** (attempt - 1)
        headers = {"attempt": attempt + 1, "x-delay": delay_ms}
        again = pika.BasicProperties(headers=headers, delivery_mode=2)
        channel.basic_publish("later", "orders", body, again, mandatory=False)
    channel.basic_ack(method.delivery_tag)


def main(url):
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()  # what comes again is safe before the original is acknowledged
        declare(channel)
        channel.basic_publish("", "orders", b"book", pika.BasicProperties(delivery_mode=2))
        channel.basic_consume("orders", on_message)
        channel.start_consuming()
        _, _, parked = channel.basic_get("parked", auto_ack=True)
        print(f"parked: {parked.decode()}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@127.0.0.1:5672")
