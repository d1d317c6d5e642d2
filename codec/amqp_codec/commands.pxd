# The C form of commands.py: its types, nothing else.

cimport cython

from amqp_codec.properties cimport ContentHeader

cdef class Command:
    cdef public unsigned int channel_id
    cdef object _method
    cdef public ContentHeader header
    cdef public bytes body

@cython.final
cdef class AckCommand(Command):
    cdef public unsigned long long delivery_tag
    cdef public bint multiple

@cython.final
cdef class PublishCommand:
    cdef public unsigned int channel_id
    cdef public bytes address
    cdef public int bits
    cdef public ContentHeader header
    cdef public bytes body
