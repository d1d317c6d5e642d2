# The C form of connection.py: the types of what every command uses; the rest lives in the instance's dict.

cimport cython

from amqp_broker.outbox cimport Outbox
from amqp_broker.session.basic cimport acked, on_basic_publish
from amqp_broker.session.channel cimport Channel
from amqp_codec.commands cimport AckCommand, Command as _Command, PublishCommand
from amqp_codec.reader cimport CommandReader


@cython.final
cdef class Connection:
    cdef dict __dict__
    cdef object __weakref__
    cdef public object broker
    cdef public dict channels
    cdef bint _has_published
    cdef public bint is_blocked
    cdef public Outbox outbox
    cdef public object state
    cdef list _owing
    cdef list _with_room
    cdef dict _alarms
    cdef Channel _current
    cdef CommandReader _reader

    cpdef owe_confirms(self, Channel channel)
    cpdef owe_turns(self, unacked)
    @cython.locals(reader=CommandReader, commands=list)
    cpdef receive(self, data, Py_ssize_t landed=*)
    cdef _handle(self, command)
    @cython.locals(channel=Channel)
    cdef _on_publish(self, PublishCommand command)
    @cython.locals(channel=Channel)
    cdef _on_ack(self, AckCommand command)
    @cython.locals(channel=Channel)
    cdef _on_channel_command(self, _Command command)
    @cython.locals(channel=Channel)
    cdef Channel _open_channel(self, int channel_id)


cdef object _HEADER
cdef object _RUNNING
cdef object _CLOSING
cdef object _ENDED
cdef object _CHANNEL_OPEN
