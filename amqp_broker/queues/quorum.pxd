# The C form of quorum.py: its types, nothing else.

from amqp_broker.message cimport Message
from amqp_broker.queues.entry cimport QueueEntry
from amqp_broker.queues.queue cimport Queue


cdef class QuorumQueue(Queue):
    cdef public object delayed
    cdef public object undelivered

    cpdef outgoing(self, QueueEntry entry)
    cpdef _keeps(self, Message message)
    cpdef _take_back(self, QueueEntry entry, failed)
