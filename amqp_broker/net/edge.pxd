# The C form of edge.py: its types, nothing else.

cimport cython

from amqp_broker.net.hub cimport Hub
from amqp_broker.net.sockets cimport PlainSocket, unsent
from amqp_broker.outbox cimport Outbox
from amqp_broker.session.connection cimport Connection


cdef Py_ssize_t SMALL_READ_OCTETS
cdef Py_ssize_t BEHIND_OCTETS
cdef double LONG_READ_S


@cython.final
cdef class Round:
    cdef public list edges

    cpdef begin(self)

    @cython.locals(edges=list)
    cpdef end(self)


cdef class Edge:
    cdef public Connection connection
    cdef public bint is_finishing
    cdef public bint is_paused
    cdef public object nursery
    cdef readonly Round round
    cdef public Py_ssize_t wanted_octets
    cdef object _hand_over
    cdef Py_ssize_t _read_octets
    cdef object _scope

    cpdef output_waiting(self)
    cpdef reading_changed(self)
    cpdef read_on(self)
    cpdef send_now(self)
    cpdef write_soon(self)

    @cython.locals(since=double)
    cpdef work_off(self, data)

    cpdef sent(self, Py_ssize_t octets)
    cdef _choose_size(self, Py_ssize_t octets, double took_s)


@cython.final
cdef class HubEdge(Edge):
    cdef readonly object error
    cdef readonly object is_over
    cdef bint _has_heard_all
    cdef bint _has_said_all
    cdef Hub _hub
    cdef list _rest
    cdef PlainSocket _socket

    cdef _read(self)
    cdef _read_large(self, room)

    @cython.locals(connection=Connection, is_all=bint, landed=Py_ssize_t, left=Py_ssize_t, octets=Py_ssize_t)
    cdef _work_off_large(self, room, Py_ssize_t octets)

    @cython.locals(chunks=list, octets=Py_ssize_t, outbox=Outbox)
    cpdef _writable(self)

    cdef _end_if_over(self)
    cdef _fail(self, error)
    cpdef end(self)
