# The C form of sockets.py: its types, nothing else.

cimport cython


cdef Py_ssize_t MAX_PIECES
cdef bint _GATHERS


@cython.final
cdef class PlainSocket:
    cdef readonly object file
    cdef readonly object socket

    cpdef Py_ssize_t send_now(self, list chunks) except -1
    cpdef receive_now(self, Py_ssize_t octets)
    cpdef receive_into(self, list buffers)


@cython.locals(number=Py_ssize_t)
cpdef list unsent(list chunks, Py_ssize_t octets)
