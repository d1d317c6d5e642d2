"""Which queues a message goes to: exchanges, their types, bindings.

Knows a queue only as something with a name. Names become exchanges and queues in the vhost, which
also checks permissions, refuses what may not be bound, and remembers the routes that may be kept.
"""
