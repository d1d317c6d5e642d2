# The C form of records.py: its types, nothing else.

cimport cython


@cython.final
cdef class StoredMessage:
    cdef public bytes address
    cdef public bytes body
    cdef public bytes header


@cython.locals(head=bytes)
cpdef bytes encode_publish(
    seed, number, first_ordinal, origin, references, bytes address, bytes header, bytes body
)
