# The C form of settle.py: its types, nothing else.

cimport cython

from amqp_broker.queues.entry cimport QueueEntry
from amqp_broker.queues.target cimport Target
from amqp_broker.queues.unacked cimport Unacked


@cython.locals(queue=Target)
cpdef ack_one(QueueEntry entry)

@cython.locals(free_again=list, entry=QueueEntry)
cpdef settle(Unacked unacked, outcome, list taken)
