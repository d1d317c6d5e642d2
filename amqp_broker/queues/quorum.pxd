# The C form of quorum.py: its types, nothing else.

from amqp_broker.message cimport Message
from amqp_broker.queues.entry cimport QueueEntry
from amqp_broker.queues.queue cimport Queue


cdef class QuorumQueue(Queue):
    cdef public object delayed
    cdef public object undelivered

    cpdef Message outgoing(self, QueueEntry entry)
    cpdef ack(self, QueueEntry entry)
    cpdef bint _keeps(self, Message message) except -1
    cpdef _take_back(self, QueueEntry entry, failed)
