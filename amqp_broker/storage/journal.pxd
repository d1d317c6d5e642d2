# The C form of journal.py: its types, nothing else.

cimport cython

from amqp_broker.storage.batch cimport Stretch
from amqp_broker.storage._speedups cimport append_to_one
from amqp_broker.storage.records cimport Location, Ranges, new_location
from amqp_broker.storage.segment cimport Segment


@cython.final
cdef class Journal:
    cdef public object disk
    cdef public bint is_finished
    cdef public object on_moved
    cdef public object on_stalled
    cdef public object on_work
    cdef public object reader
    cdef public dict segments
    cdef public object settings
    cdef public object stalled

    cdef readonly Segment _active
    cdef object _callbacks
    cdef object _checkpoint_blocked_until
    cdef bint _checkpoint_is_wanted
    cdef object _checkpoint_not_before
    cdef object _clock
    cdef dict _dead
    cdef str _directory
    cdef Stretch _gathering
    cdef bytes _identity
    cdef bint _is_finishing
    cdef long long _last_awaited
    cdef object _lazy_since
    cdef list _leftover
    cdef dict _marked
    cdef bint _may_write
    cdef long long _next_record
    cdef object _next_segment
    cdef long long _noted_synced
    cdef tuple _previous
    cdef long long _released
    cdef dict _removed
    cdef object _retiring
    cdef long long _segment_octets
    cdef object _snapshot
    cdef long long _synced
    cdef object _under_way
    cdef Stretch _unsynced
    cdef object _unsynced_since
    cdef long long _unwritten_octets
    cdef object _waiting
    cdef long long _written

    @cython.locals(segment=Segment, octets=cython.longlong)
    cpdef Location append_to_one(
        self,
        bytes address,
        bytes header,
        bytes body,
        long long queue_id,
        long long position,
        long long expires_at_ms,
        int flags,
    )

    @cython.locals(segment=Segment)
    cpdef remove(self, Location location, bint is_replaced=*)

    cdef Location _appended(self, Segment segment, Py_ssize_t references, long long octets, bint is_awaited)

    cdef _gather(self, bytes record, bint is_awaited)

    @cython.locals(gathering=Stretch)
    cdef _gathered(self, long long octets, bint is_awaited)

    @cython.locals(ranges=Ranges)
    cdef _note_removed(self, Segment segment, long long ordinal)

    @cython.locals(segment=Segment)
    cdef _settle(self, Stretch stretch)

    cdef _release(self, long long record)
