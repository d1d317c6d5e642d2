"""Our broker and others, seen from outside: real clients, real processes, real sockets.

Nothing here imports the broker; whatever speaks AMQP 0-9-1 at a URL can stand in its place.
"""
