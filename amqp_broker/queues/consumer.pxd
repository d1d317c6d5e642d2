# The C form of consumer.py: its types, nothing else. The queue is an object here: its module needs this one.

cimport cython

cdef class Consumer

from amqp_broker.message cimport Message
from amqp_broker.outbox cimport Outbox
from amqp_broker.queues.entry cimport QueueEntry
from amqp_broker.queues.unacked cimport Unacked


@cython.final
cdef class Consumer:
    cdef bytes _tag_octets
    cdef public dict arguments
    cdef public bint exclusive
    cdef public bint no_ack
    cdef public object on_cancelled
    cdef public long long prefetch_count
    cdef public object priority
    cdef public object queue
    cdef public str tag
    cdef public Unacked unacked
    cdef public long long unacked_count
    cdef public long long delivered
    cdef public long long redelivered

    @cython.locals(unacked=Unacked)
    cpdef bint can_take(self) except -1

    @cython.locals(tag=cython.ulonglong)
    cpdef deliver(self, QueueEntry entry, Message message)

    @cython.locals(unacked=Unacked, tag=cython.ulonglong)
    cpdef pass_on(self, Message message)

    @cython.locals(unacked=Unacked)
    cdef _write(self, Message message, unsigned long long tag, bint redelivered)
