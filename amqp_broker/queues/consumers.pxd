# The C form of consumers.py: its types, nothing else.

cimport cython

from amqp_broker.counters cimport MessageCounters
from amqp_broker.queues.consumer cimport Consumer


@cython.final
cdef class Consumers:
    cdef Consumer _again
    cdef dict _all
    cdef list _lanes
    cdef public Consumer active
    cdef public Consumer exclusive
    cdef public bint is_changing
    cdef public MessageCounters past
    cdef public bint single_active

    @cython.locals(again=Consumer, consumer=Consumer)
    cpdef Consumer next(self)
