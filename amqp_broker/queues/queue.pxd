# The C form of queue.py: its types, nothing else.

cimport cython

from amqp_broker.counters cimport MessageCounters
from amqp_broker.message cimport Message
from amqp_broker.queues.consumer cimport Consumer
from amqp_broker.queues.consumers cimport Consumers
from amqp_broker.queues.entry cimport QueueEntry, new_entry
from amqp_broker.queues.ready cimport ReadyList
from amqp_broker.queues.target cimport Target


cdef unsigned int _FLAG_EXPIRATION
cdef int _PERSISTENT


cdef class Queue(Target):
    cdef object __weakref__
    cdef public object id
    cdef public bint durable
    cdef public object exclusive_owner
    cdef public bint auto_delete
    cdef public dict arguments
    cdef public object options
    cdef public Consumers consumers
    cdef public ReadyList ready
    cdef public Py_ssize_t ready_octets
    cdef public Py_ssize_t unacked_count
    cdef public MessageCounters counters
    cdef public object _timers
    cdef public object _storage
    cdef object _pager
    cdef public Py_ssize_t unacked_octets
    cdef public object _hooks
    cdef long long _next_position
    cdef bint _expiring
    cdef bint _has_limit
    cdef bint _has_ttl
    cdef Py_ssize_t _window_octets
    cdef bint _is_choosy
    cdef public object _duplicates
    cdef object _expiry_timer
    cdef object _lease_timer
    cdef double _last_used

    @cython.locals(entry=QueueEntry, consumer=Consumer)
    cpdef bint enqueue(self, Message message) except -1

    @cython.locals(ready=ReadyList, entry=QueueEntry, consumer=Consumer)
    cpdef dispatch(self)

    cpdef Message outgoing(self, QueueEntry entry)
    cpdef ack(self, QueueEntry entry)
    cpdef let_go(self, QueueEntry entry)
    cpdef bint _keeps(self, Message message) except -1
    cdef _forget(self, QueueEntry entry)
    cpdef _take_back(self, QueueEntry entry, failed)
    cpdef _hand_out(self, QueueEntry entry, Consumer consumer)
    cpdef _is_back(self, QueueEntry entry)
