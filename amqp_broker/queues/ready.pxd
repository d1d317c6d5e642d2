# The C form of ready.py: its types, nothing else.

cimport cython

from amqp_broker.queues.entry cimport QueueEntry


@cython.final
cdef class FifoReadyList:
    cdef object _fresh
    cdef Py_ssize_t _paged
    cdef object _pager
    cdef object _pages
    cdef Py_ssize_t _resident
    cdef list _returned
    cdef object _tail

    cpdef append(self, QueueEntry entry)

    @cython.locals(entry=QueueEntry)
    cpdef QueueEntry peek(self)

    @cython.locals(head=QueueEntry)
    cpdef QueueEntry pop(self)

    cpdef bint _take(self, QueueEntry head) except -1


@cython.final
cdef class PriorityReadyList:
    cdef object _default
    cdef dict _levels
    cdef object _pager
    cdef Py_ssize_t _size
    cdef object _sorts_out
    cdef public object max_priority


@cython.final
cdef class ReturnsReadyList:
    cdef PriorityReadyList _fresh
    cdef object _pager
    cdef object _returns
