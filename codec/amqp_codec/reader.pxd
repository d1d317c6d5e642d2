# The C form of reader.py: its types, nothing else.

cimport cython

from amqp_codec.properties cimport ContentHeader as _ContentHeader


cdef unsigned int FRAME_BODY
cdef int FRAME_END
cdef unsigned int FRAME_HEADER
cdef unsigned int FRAME_HEARTBEAT
cdef unsigned int FRAME_METHOD
cdef Py_ssize_t _ACK_SIZE
cdef Py_ssize_t _CONTENT_HEAD_SIZE
cdef Py_ssize_t _AHEAD
cdef Py_ssize_t _HEAD_SIZE
cdef Py_ssize_t _PUBLISH_ADDRESS
cdef Py_ssize_t _PUBLISH_SIZE_MIN
cdef Py_ssize_t _LARGE_FRAME
cdef Py_ssize_t _SMALL_PIECE


@cython.final
cdef class _Pieces:
    cdef list _pieces
    cdef public Py_ssize_t octets

    cpdef add(self, piece)
    cpdef bytes take(self)


@cython.final
cdef class _Assembly:
    cdef public bytes address
    cdef public int bits
    cdef public _Pieces body
    cdef public _ContentHeader header
    cdef public Py_ssize_t held
    cdef public object method
    cdef public long long missing


@cython.final
cdef class CommandReader:
    cdef Py_ssize_t _alike_limit
    cdef dict _assemblies
    cdef object _example
    cdef bytes _head
    cdef _ContentHeader _header
    cdef Py_ssize_t _held
    cdef Py_ssize_t _landed
    cdef object _landing
    cdef unsigned int _landing_channel
    cdef unsigned long long _max_body_octets
    cdef Py_ssize_t _max_partial_octets
    cdef Py_ssize_t _needed
    cdef Py_ssize_t _offset
    cdef _Pieces _pending
    cdef object _room
    cdef bytes _unread
    cdef object _usual
    cdef public bint failed
    cdef public Py_ssize_t frame_max
    cdef public Py_ssize_t most

    @cython.locals(pending=_Pieces, offset=Py_ssize_t, octets=bytes, received=list)
    cpdef list receive(self, data, Py_ssize_t landed=*)

    @cython.locals(
        available=Py_ssize_t, most=Py_ssize_t, start=Py_ssize_t, end=Py_ssize_t, size=Py_ssize_t, usual=bytes,
        channel_id=cython.uint, frame_type=cython.uint
    )
    cdef Py_ssize_t _scan(self, bytes data, Py_ssize_t offset, list received) except -1

    @cython.locals(assembly=_Assembly)
    cdef Py_ssize_t _begin_landing(self, bytes data, Py_ssize_t start, Py_ssize_t size, channel_id) except -1

    @cython.locals(octets=Py_ssize_t)
    cdef Py_ssize_t _land(self, bytes data, Py_ssize_t start) except -1

    @cython.locals(
        available=Py_ssize_t, address_start=Py_ssize_t, bits_at=Py_ssize_t, exchange_end=Py_ssize_t, limit=Py_ssize_t,
        header_start=Py_ssize_t, header_end=Py_ssize_t, body_size=Py_ssize_t, body_start=Py_ssize_t,
        body_end=Py_ssize_t, size=Py_ssize_t, bits=int, channel=cython.uint, frame_type=cython.uint, address=bytes,
        body=bytes, assembly=_Assembly, header=_ContentHeader
    )
    cdef Py_ssize_t _on_publish(
        self, bytes data, Py_ssize_t start, Py_ssize_t end, unsigned int channel_id, list received
    ) except -1

    cdef Py_ssize_t _take_alike(self, bytes data, Py_ssize_t offset, list received, Py_ssize_t most) except -1

    cdef _ContentHeader _check_header(self, _Assembly assembly, bytes payload)

    @cython.locals(payload=bytes)
    cdef Py_ssize_t _landing_over(self, bytes data, Py_ssize_t offset, list received) except -1

    @cython.locals(pieces=_Pieces)
    cdef _on_body(self, channel_id, _Assembly assembly, bytes payload, list received)

    @cython.locals(assembly=_Assembly)
    cdef _on_frame(self, frame_type, channel_id, bytes payload, list received)
    cdef _begin(self, channel_id, _Assembly assembly, Py_ssize_t octets)
    cdef _expect_body(self, _Assembly assembly, _ContentHeader header)
    cdef _hold(self, _Assembly assembly, Py_ssize_t octets)
    cdef _finish(self, channel_id, _Assembly assembly, body, list received)
