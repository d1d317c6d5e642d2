"""What `amqp-broker top` shows: a client of the management API of this broker, or of a RabbitMQ.

The API and not the control socket, because it answers from elsewhere too, under the rights of whoever asks, and sorts
and cuts a list of ten thousand queues where they are.
"""
