# The C form of ready.py: its types, nothing else.

cimport cython

from amqp_broker.queues.entry cimport QueueEntry


cdef Py_ssize_t _ENTRY_OCTETS


cdef class ReadyList:
    cdef public Py_ssize_t size

    cpdef append(self, QueueEntry entry)
    cpdef put_back(self, QueueEntry entry)
    cpdef QueueEntry pop(self)


cdef class FifoReadyList(ReadyList):
    cdef object _fresh
    cdef object _pager
    cdef object _pages
    cdef Py_ssize_t _resident
    cdef Py_ssize_t _room
    cdef Py_ssize_t _spare_room
    cdef list _returned
    cdef object _tail

    cpdef append(self, QueueEntry entry)
    cpdef put_back(self, QueueEntry entry)

    @cython.locals(entry=QueueEntry)
    cpdef QueueEntry peek(self)

    @cython.locals(head=QueueEntry)
    cpdef QueueEntry pop(self)

    cpdef bint _take(self, QueueEntry head) except -1


cdef class PriorityReadyList(ReadyList):
    cdef object _default
    cdef dict _levels
    cdef object _pager
    cdef object _sorts_out
    cdef public object max_priority

    cpdef append(self, QueueEntry entry)
    cpdef put_back(self, QueueEntry entry)
    @cython.locals(level=FifoReadyList)
    cpdef QueueEntry pop(self)


cdef class ReturnsReadyList(ReadyList):
    cdef PriorityReadyList _fresh
    cdef object _pager
    cdef object _returns

    cpdef append(self, QueueEntry entry)
    cpdef put_back(self, QueueEntry entry)
    cpdef QueueEntry pop(self)
