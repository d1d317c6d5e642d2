# The C form of hub.py: its types, nothing else.

cimport cython


cdef int _IN
cdef int _OUT


@cython.final
cdef class Hub:
    cdef public object at_end
    cdef readonly object epoll
    cdef public bint is_serving
    cdef list _left
    cdef public bint _may_watch
    cdef dict _readers
    cdef public Py_ssize_t _skipped
    cdef public Py_ssize_t _to_skip
    cdef dict _watched
    cdef dict _writers

    cpdef watch(self, file, readable)
    cpdef forget(self, file)
    cpdef watch_room(self, file, writable)
    cpdef forget_room(self, file)
    cdef _have_watched(self, file)

    @cython.locals(ends_at=double, events=list, number=Py_ssize_t)
    cpdef bint serve_for(self, double seconds) except -1

    cpdef serve_now(self)
    cdef _serve_one(self, file, int what)

    @cython.locals(ends_at=double, is_late=bint)
    cpdef list _events_soon(self)

    cdef _end_serving(self)
