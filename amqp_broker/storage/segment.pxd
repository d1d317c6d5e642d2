# The C form of segment.py: its types, nothing else.

cimport cython


@cython.final
cdef class Part:
    cdef public long long base
    cdef public object file
    cdef public bint has_failed
    cdef public object index
    cdef public str path
    cdef public long long room
    cdef public long long written


@cython.final
cdef class Segment:
    cdef public long long all_octets
    cdef public long long end
    cdef public long long first_record
    cdef public bytearray gone
    cdef public bint is_damaged
    cdef public bint is_sealed
    cdef public Py_ssize_t live
    cdef public long long live_octets
    cdef public dict marks
    cdef public object number
    cdef public list parts
    cdef public long long previous_record
    cdef public Py_ssize_t previous_references
    cdef public Py_ssize_t references
    cdef public long long safe_end
    cdef public Py_ssize_t safe_references
    cdef public object seed
    cdef public list unwritten

    @cython.locals(missing=Py_ssize_t)
    cpdef appended(self, Py_ssize_t references, long long octets)

    cpdef bint is_live(self, Py_ssize_t ordinal) except -1

    @cython.locals(index=Py_ssize_t, bit=cython.int)
    cpdef bint remove(self, Py_ssize_t ordinal, long long octets) except -1
