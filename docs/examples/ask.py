"""A question and its answer through direct reply-to: no queue for answers has to be declared, or cleaned up.

python ask.py [amqp://guest:guest@127.0.0.1:5672]
"""

import sys
import threading

import pika

REPLY_TO = "amq.rabbitmq.reply-to"


def serve(url, ready):
    """Answer one question."""
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.queue_declare("double", exclusive=True)
        ready.set()
        for method, properties, body in channel.consume("double"):
            answer = pika.BasicProperties(correlation_id=properties.correlation_id)
            channel.basic_publish("", properties.reply_to, str(2 * int(body)).encode(), answer)
            channel.basic_ack(method.delivery_tag)
            break
        channel.cancel()


def ask(connection, number):
    channel = connection.channel()
    answers = []
    channel.basic_consume(REPLY_TO, lambda *message: answers.append(message[-1]), auto_ack=True)
    question = pika.BasicProperties(reply_to=REPLY_TO, correlation_id="1")
    channel.basic_publish("", "double", str(number).encode(), question)
    while not answers:
        connection.process_data_events(time_limit=1)
    channel.close()
    return int(answers[0])


def main(url):
    ready = threading.Event()
    server = threading.Thread(target=serve, args=(url, ready))
    server.start()
    ready.wait()
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        print(f"twice 21 is {ask(connection, 21)}")
    server.join()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@127.0.0.1:5672")
