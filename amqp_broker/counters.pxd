# The C form of counters.py: its types, nothing else.

cimport cython


@cython.final
cdef class MessageCounters:
    cdef public long long publish
    cdef public long long confirm
    cdef public long long return_unroutable
    cdef public long long drop_unroutable
    cdef public long long deliver
    cdef public long long deliver_no_ack
    cdef public long long get
    cdef public long long get_no_ack
    cdef public long long get_empty
    cdef public long long redeliver
    cdef public long long ack

    cpdef add(self, MessageCounters other)


@cython.final
cdef class ExchangeCounters:
    cdef public long long publish_in
    cdef public long long publish_out


@cython.final
cdef class SizeCounters:
    cdef public long long octets
    cdef public long long upto_100
    cdef public long long upto_1k
    cdef public long long upto_10k
    cdef public long long upto_100k
    cdef public long long upto_1m
    cdef public long long upto_10m
    cdef public long long upto_50m
    cdef public long long upto_100m
    cdef public long long over_100m

    cpdef count(self, Py_ssize_t octets)
    cpdef add(self, SizeCounters other)
