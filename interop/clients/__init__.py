"""One scenario, stated in `scenario.json`, and a small program for every client library that plays it.

A driver takes the URL from `AMQP_URL`, whom to trust for TLS from the file in `AMQP_CA`, and the scenario from the file
named by its argument; it writes what it sees, a
JSON array a line. It declares, publishes with every property and waits for the confirm, consumes, gives the message
back once, asks a question through `amq.rabbitmq.reply-to`, gets an unroutable message back, and asks for a queue that
is not there.

With the last argument `restart` it publishes one message, takes it and keeps it until the broker was killed and is
back: its connection is made anew, by the library where that can do it, and the message comes again.
"""
