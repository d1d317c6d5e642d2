# The C form of outbox.py: its types, nothing else.

cimport cython

from amqp_broker.message cimport Message
from amqp_codec._speedups cimport append_content, append_delivery, append_heads


cdef Py_ssize_t LARGE_BODY_OCTETS
cdef Py_ssize_t _OVERHEAD
cdef bytes _END


@cython.final
cdef class Outbox:
    cdef list _chunks
    cdef bytearray _tail
    cdef public Py_ssize_t frame_max
    cdef public Py_ssize_t high_octets
    cdef public bint is_closed
    cdef public bint is_full
    cdef public object on_drained
    cdef public Py_ssize_t pushed_octets
    cdef public Py_ssize_t sent_count
    cdef public Py_ssize_t size
    cdef public object wake

    cpdef push(self, data)
    cpdef list take(self)
    cpdef sent(self, Py_ssize_t octets)

    @cython.locals(tail=bytearray, before=Py_ssize_t, body=bytes)
    cpdef push_delivery(
        self,
        int channel_id,
        bytes consumer_tag,
        unsigned long long delivery_tag,
        bint redelivered,
        Message message,
    )

    @cython.locals(octets=Py_ssize_t, size=Py_ssize_t, before=Py_ssize_t, tail=bytearray)
    cdef _push_large(self, int channel_id, bytes payload, bytes header, bytes body)

    @cython.locals(was_empty=bint)
    cdef _grown(self, Py_ssize_t octets)
