# The C form of settle.py: its types, nothing else.

cimport cython

from amqp_broker.queues.entry cimport QueueEntry
from amqp_broker.queues.queue cimport Queue
from amqp_broker.queues.unacked cimport Unacked


cpdef ack_one(Unacked unacked, QueueEntry entry)

@cython.locals(free_again=list, entry=QueueEntry)
cpdef settle(Unacked unacked, outcome, list taken)
