# The C form of entry.py: its types, nothing else. Queue and consumer are objects here: their modules need this one.

cimport cython

from amqp_broker.message cimport Message


@cython.final
cdef class QueueEntry:
    cdef public Message message
    cdef public object queue
    cdef public object consumer
    cdef public object location
    cdef public long long position
    cdef public Py_ssize_t octets
    cdef public int priority
    cdef public double expires_at
    cdef public bint redelivered
    cdef public long long acquired_count
    cdef public long long delivery_count


@cython.locals(entry=QueueEntry)
cpdef QueueEntry new_entry(Message message, queue, long long position)
