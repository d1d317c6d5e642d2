# The C form of unacked.py: its types, nothing else.

cimport cython

cdef class Unacked

from amqp_broker.counters cimport MessageCounters
from amqp_broker.outbox cimport Outbox
from amqp_broker.queues.consumer cimport Consumer
from amqp_broker.queues.entry cimport QueueEntry


@cython.final
cdef class Unacked:
    cdef dict _entries
    cdef unsigned long long _lowest
    cdef public dict blocked
    cdef public int channel_id
    cdef public MessageCounters counters
    cdef public long long delivered_count
    cdef public bint has_room
    cdef public unsigned long long next_tag
    cdef public Outbox outbox
    cdef public long long prefetch_count
    cdef public object tap

    @cython.locals(tag=cython.ulonglong)
    cpdef unsigned long long take_tag(self) except? 0

    @cython.locals(tag=cython.ulonglong, consumer=Consumer)
    cpdef unsigned long long add(self, QueueEntry entry) except? 0

    cpdef list out_before(self, unsigned long long tag)
    cpdef give_up(self, list taken)

    @cython.locals(entries=dict, entry=QueueEntry, taken=list, each=cython.ulonglong)
    cpdef list take(self, unsigned long long tag, bint multiple)

    @cython.locals(entry=QueueEntry, consumer=Consumer)
    cpdef QueueEntry take_one(self, unsigned long long tag)

    @cython.locals(consumers=dict, entry=QueueEntry, consumer=Consumer)
    cpdef list release(self, list taken)

    @cython.locals(queues=dict, consumer=Consumer)
    cpdef list unblock(self, list consumers)
