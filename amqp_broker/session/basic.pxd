# The C form of basic.py: its types, nothing else.

cimport cython

from amqp_broker.counters cimport MessageCounters
from amqp_broker.message cimport Message, new_message
from amqp_broker.session.channel cimport Channel
from amqp_broker.session.confirms cimport Confirms
from amqp_broker.queues.entry cimport QueueEntry
from amqp_broker.queues.unacked cimport Unacked
from amqp_broker.session.settle cimport ack_one, settle
from amqp_broker.vhost cimport Route, Vhost
from amqp_codec.commands cimport PublishCommand as _PublishCommand
from amqp_codec.properties cimport ContentHeader as _ContentHeader


cdef int MANDATORY
cdef int IMMEDIATE
cdef unsigned int INSPECTED
cdef unsigned int FLAG_USER_ID


@cython.locals(
    body=bytes, header=_ContentHeader, vhost=Vhost, route=Route, message=Message, queues=tuple, confirms=Confirms,
    counters=MessageCounters, accepted=bint, flags=cython.uint
)
cpdef on_basic_publish(Channel channel, _PublishCommand command)

@cython.locals(unacked=Unacked, entry=QueueEntry)
cpdef acked(Channel channel, unsigned long long delivery_tag, bint multiple)

@cython.locals(taken=list)
cdef _settle(Channel channel, outcome, unsigned long long tag, bint multiple)
