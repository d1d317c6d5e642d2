# The C form of vhost.py: the types of what every publish uses; the rest lives in the instance's dict.

cimport cython

from amqp_broker.counters cimport ExchangeCounters
from amqp_broker.message cimport Message
from amqp_broker.queues.target cimport Target


@cython.final
cdef class Route:
    cdef public bint cacheable
    cdef public ExchangeCounters counters
    cdef public bint is_repeated
    cdef public bint is_routed
    cdef public object exchange
    cdef public tuple admitted
    cdef public tuple queues


@cython.final
cdef class Vhost:
    cdef dict __dict__
    cdef object __weakref__
    cdef public dict routes
    cdef public object storage

    @cython.locals(target=Target, accepted=bint)
    cpdef bint publish(self, Message message, queues) except -1
