# The C form of confirms.py: its types, nothing else.

cimport cython


@cython.final
cdef class Confirms:
    cdef public unsigned long long published
    cdef public unsigned long long confirmed
    cdef unsigned long long _answered
    cdef list _refused
    cdef object _send
    cdef object _storage
    cdef Py_ssize_t _waiting
    cdef public bint must_wait

    cpdef refuse_last(self)
