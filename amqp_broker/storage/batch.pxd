# The C form of batch.py: its types, nothing else.

cimport cython

from amqp_broker.storage.segment cimport Segment


@cython.final
cdef class Stretch:
    cdef public long long count
    cdef public bytearray data
    cdef public long long first_record
    cdef public Py_ssize_t first_reference
    cdef public bint is_awaited
    cdef public long long offset
    cdef public Py_ssize_t references
    cdef public bint seals
    cdef public Segment segment
