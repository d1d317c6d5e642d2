# The C form of channel.py: the types of what every command uses; the rest lives in the instance's dict.

from amqp_broker.counters cimport SizeCounters
from amqp_broker.queues.unacked cimport Unacked
from amqp_broker.session.confirms cimport Confirms
from amqp_broker.vhost cimport Vhost


cdef class Channel:
    cdef dict __dict__
    cdef object __weakref__
    cdef public int id
    cdef public object connection
    cdef public Vhost vhost
    cdef public object state
    cdef public object held
    cdef public SizeCounters sizes
    cdef public Unacked unacked
    cdef public Confirms confirms
    cdef public object transaction
    cdef public object writable
