# The C form of store.py: its types, nothing else.

cimport cython

from amqp_broker.message cimport Message
from amqp_broker.queues.entry cimport QueueEntry
from amqp_broker.storage.journal cimport Journal
from amqp_broker.storage.records cimport Location


@cython.final
cdef class _Shelf:
    cdef public dict entries
    cdef public dict pages


@cython.final
cdef class JournalStorage:
    cdef public object definitions
    cdef public object first_position
    cdef public Journal journal
    cdef public long long stored_count
    cdef public object spare
    cdef public object streams
    cdef object _crashed_before
    cdef list _groups
    cdef object _last_moved
    cdef object _next_queue_id
    cdef object _promises
    cdef dict _shelves
    cdef object _unsaved_changes

    @cython.locals(message=Message)
    cpdef store(self, QueueEntry entry)

    @cython.locals(location=Location)
    cpdef forget(self, QueueEntry entry, bint is_replaced=*)

    cpdef _remove(self, QueueEntry entry, bint is_replaced)

    @cython.locals(entry=QueueEntry)
    cdef _append(self, Message message, list entries, flags)

    cdef _append_one(self, Message message, QueueEntry entry, flags)

    @cython.locals(shelf=_Shelf)
    cdef _Shelf _shelf(self, queue_id)


cdef bytes _stored_address(Message message)
