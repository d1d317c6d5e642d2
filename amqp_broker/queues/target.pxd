# The C form of target.py: its types, nothing else.

from amqp_broker.message cimport Message
from amqp_broker.queues.entry cimport QueueEntry


cdef class Target:
    cdef public str name
    cdef public bint is_deleted

    cpdef bint enqueue(self, Message message) except -1
    cpdef ack(self, QueueEntry entry)
