"""What `amqp-brokerctl` can ask of a running broker: plain functions that give rows or lines of text.

`node` is what they work on, `commands` the table of them; `net.control` brings requests and takes answers away.
Their texts are RabbitMQ's where it has the same command.
"""
