# The C form of message.py: its types, nothing else.

cimport cython

from amqp_codec.properties cimport ContentHeader as _ContentHeader


@cython.final
cdef class Message:
    cdef public bytes address
    cdef public _ContentHeader header
    cdef public bytes body
    cdef public tuple extra_keys
    cdef public tuple deaths


@cython.locals(message=Message)
cpdef Message new_message(bytes address, _ContentHeader header, bytes body)
