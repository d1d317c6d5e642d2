"""What the broker's objects look like from outside: plain records with RabbitMQ's field names.

The command line and the HTTP API show the same things; both take them from here.
"""
