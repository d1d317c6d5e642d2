"""`amqp-brokerctl`: rabbitmqctl's and rabbitmq-diagnostics' commands, for the broker on this machine.

It speaks to the broker over a Unix socket, in lines of JSON, and imports nothing else of this package: a health
check that runs every few seconds should cost as little as it can. `commands` is the table of what there is, `main`
finds out what is asked and shows the answer, `forms` knows the output formats, `places` where brokers have their
sockets.
"""
