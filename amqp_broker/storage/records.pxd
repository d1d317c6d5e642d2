# The C form of records.py: its types, nothing else.

cimport cython


@cython.final
@cython.freelist(256)
cdef class Location:
    cdef readonly long long segment
    cdef readonly long long ordinal
    cdef readonly long long offset
    cdef readonly long long length


@cython.locals(location=Location)
cpdef Location new_location(long long segment, long long ordinal, long long offset, long long length)


@cython.final
cdef class StoredMessage:
    cdef public bytes address
    cdef public bytes body
    cdef public bytes header


@cython.final
cdef class Ranges:
    cdef public long long first
    cdef public long long end
    cdef public list others

    cpdef add(self, long long ordinal)
