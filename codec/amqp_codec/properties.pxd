# The C form of properties.py: its types, nothing else.

cimport cython


@cython.final
cdef class ContentHeader:
    cdef public bytes raw
    cdef public int class_id
    cdef public unsigned long long body_size
    cdef public unsigned int flags
    cdef public int delivery_mode
    cdef public int priority
    cdef public bytes expiration
    cdef object _properties
