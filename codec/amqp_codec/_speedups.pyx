"""The octets of what comes and goes most, handled in C; present in the compiled form only.

Everything here is a short cut for what the plain modules do as well, and hands back to them whatever is not
quite usual: they find the words for what is wrong. tests/codec holds both to the same answers.
"""

cimport cython
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.buffer cimport PyBUF_WRITE
from cpython.list cimport PyList_GET_SIZE
from cpython.memoryview cimport PyMemoryView_FromMemory
from libc.string cimport memcmp, memcpy

from amqp_codec.commands cimport AckCommand, PublishCommand
from amqp_codec.properties cimport ContentHeader

from amqp_codec.constants import BODY_SIZE_HARD_LIMIT
from amqp_codec.fields import MAX_NESTING
from amqp_codec.frames import deliver_payload, iter_content

ctypedef unsigned char octet
ctypedef unsigned int uint32
ctypedef unsigned long long uint64

cdef enum:
    METHOD = 1
    HEADER = 2
    BODY = 3
    END = 0xCE
    HEAD_SIZE = 7
    OVERHEAD = 8
    CONTENT_HEAD_SIZE = 12
    PUBLISH = 0x003C0028
    PUBLISH_SIZE_MIN = 9
    ACK = 0x003C0050
    ACK_SIZE = 13
    BASIC = 60
    DELIVER = 0x003C003C

cdef uint64 BODY_MAX = BODY_SIZE_HARD_LIMIT


cdef inline uint32 uint16_at(const octet *at) noexcept nogil:
    return <uint32>at[0] << 8 | at[1]


cdef inline uint32 uint32_at(const octet *at) noexcept nogil:
    return <uint32>at[0] << 24 | <uint32>at[1] << 16 | <uint32>at[2] << 8 | at[3]


cdef inline uint64 uint64_at(const octet *at) noexcept nogil:
    return <uint64>uint32_at(at) << 32 | uint32_at(at + 4)


cdef inline octet *put_uint32(octet *at, uint32 number) noexcept nogil:
    at[0] = <octet>(number >> 24)
    at[1] = <octet>(number >> 16)
    at[2] = <octet>(number >> 8)
    at[3] = <octet>number
    return at + 4


cdef inline octet *put_head(octet *at, int frame_type, int channel_id, Py_ssize_t size) noexcept nogil:
    at[0] = <octet>frame_type
    at[1] = <octet>(channel_id >> 8)
    at[2] = <octet>channel_id
    return put_uint32(at + 3, <uint32>size)


cdef inline octet *put(octet *at, bytes octets) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(octets)
    memcpy(at, PyBytes_AS_STRING(octets), size)
    return at + size


cdef inline octet *put_frame(octet *at, int frame_type, int channel_id, bytes payload) noexcept:
    at = put(put_head(at, frame_type, channel_id, PyBytes_GET_SIZE(payload)), payload)
    at[0] = END
    return at + 1


cdef inline bint is_same(bytes known, const octet *at, Py_ssize_t size) noexcept:
    return PyBytes_GET_SIZE(known) == size and memcmp(PyBytes_AS_STRING(known), at, size) == 0


@cython.final
cdef class UsualCommands:
    """Takes the usual commands from the front of what was read: whole publishes, and acks.

    Args:
        max_body_octets: larger bodies are not usual.
        assemblies: the reader's; channels in it are in the middle of something.
    """

    cdef uint64 max_body_octets
    cdef dict assemblies
    cdef bytes address
    cdef ContentHeader header

    def __init__(self, max_body_octets, dict assemblies not None):
        self.max_body_octets = max_body_octets
        self.assemblies = assemblies
        # A publisher mostly repeats itself: what is the same again is shared, not made anew.
        self.address = b""
        self.header = ContentHeader(b"", 0, 0, 0, 0, -1, None)

    def take(self, bytes data not None, Py_ssize_t offset, uint64 limit, list received not None, Py_ssize_t most):
        """Append the usual commands that begin at `offset` and follow each other without a gap, until there are `most`.

        Gives the offset of the first frame that is not the beginning of one.
        """
        cdef const octet *octets = <const octet *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t available = PyBytes_GET_SIZE(data)
        cdef Py_ssize_t after
        cdef uint32 channel_id, size, ids
        cdef const octet *at
        cdef dict assemblies = self.assemblies
        while available - offset > HEAD_SIZE + 4 and PyList_GET_SIZE(received) < most:
            at = octets + offset
            channel_id = uint16_at(at + 1)
            size = uint32_at(at + 3)
            if at[0] != METHOD or channel_id == 0 or size < PUBLISH_SIZE_MIN or size > limit:
                break
            after = offset + HEAD_SIZE + <Py_ssize_t>size + 1
            if after > available or octets[after - 1] != END:
                break
            if assemblies and channel_id in assemblies:
                break
            ids = uint32_at(at + HEAD_SIZE)
            if ids == PUBLISH:
                after = self.take_publish(octets, offset, after, available, limit, channel_id, received)
                if after == 0:
                    break
            elif ids == ACK and size == ACK_SIZE:
                received.append(new_ack(channel_id, uint64_at(at + HEAD_SIZE + 4), at[HEAD_SIZE + 12] & 1))
            else:
                break
            offset = after
        return offset

    cdef Py_ssize_t take_publish(
        self,
        const octet *octets,
        Py_ssize_t offset,
        Py_ssize_t after,
        Py_ssize_t available,
        uint64 limit,
        uint32 channel_id,
        list received,
    ) except -1:
        """Take a publish whose method frame ends before `after`; gives the offset behind it, or 0."""
        cdef const octet *address_at = octets + offset + HEAD_SIZE + 6
        cdef Py_ssize_t address_size = after - 2 - (offset + HEAD_SIZE + 6)
        cdef Py_ssize_t exchange_size = 1 + <Py_ssize_t>address_at[0]
        cdef int bits = octets[after - 2] & 3
        cdef const octet *at = octets + after
        cdef const octet *header_at = at + HEAD_SIZE
        cdef uint32 size
        cdef uint64 body_size
        cdef ContentHeader header
        cdef bytes address, body
        if exchange_size >= address_size or exchange_size + 1 + address_at[exchange_size] != address_size:
            return 0
        if available - after < HEAD_SIZE + CONTENT_HEAD_SIZE:
            return 0
        size = uint32_at(at + 3)
        if at[0] != HEADER or uint16_at(at + 1) != channel_id or size < CONTENT_HEAD_SIZE or size > limit:
            return 0
        after += HEAD_SIZE + <Py_ssize_t>size + 1
        if after > available or octets[after - 1] != END:
            return 0
        body_size = uint64_at(header_at + 4)
        if body_size:
            if body_size > limit or body_size > self.max_body_octets:
                return 0
            at = octets + after
            if <uint64>(available - after) < body_size + OVERHEAD:
                return 0
            if at[0] != BODY or uint16_at(at + 1) != channel_id or uint32_at(at + 3) != body_size:
                return 0
            if at[HEAD_SIZE + body_size] != END:
                return 0
        header = self.header
        if not is_same(header.raw, header_at, size):
            if uint16_at(header_at) != BASIC or uint16_at(header_at + 2) or body_size > BODY_MAX:
                return 0
            header = new_header(header_at, size, body_size)
            if header is None:
                return 0
            self.header = header
        address = self.address
        if not is_same(address, address_at, address_size):
            self.address = address = PyBytes_FromStringAndSize(<const char *>address_at, address_size)
        if body_size:
            body = PyBytes_FromStringAndSize(<const char *>(at + HEAD_SIZE), <Py_ssize_t>body_size)
            after += <Py_ssize_t>body_size + OVERHEAD
        else:
            body = b""
        received.append(new_publish(channel_id, address, bits, header, body))
        return after


cdef inline PublishCommand new_publish(uint32 channel_id, bytes address, int bits, ContentHeader header, bytes body):
    cdef PublishCommand command = PublishCommand.__new__(PublishCommand)
    command.channel_id = channel_id
    command.address = address
    command.bits = bits
    command.header = header
    command.body = body
    return command


cdef inline AckCommand new_ack(uint32 channel_id, uint64 delivery_tag, bint multiple):
    cdef AckCommand command = AckCommand.__new__(AckCommand)
    command.channel_id = channel_id
    command.delivery_tag = delivery_tag
    command.multiple = multiple
    return command


# Room for what is still to come

def new_octets(Py_ssize_t size):
    """So many octets, to be filled by way of `view_of` before anybody else sees them."""
    return PyBytes_FromStringAndSize(NULL, size)


def view_of(bytes octets not None):
    """To write into new octets; the view must not outlive them."""
    return PyMemoryView_FromMemory(PyBytes_AS_STRING(octets), PyBytes_GET_SIZE(octets), PyBUF_WRITE)


# Content headers, as `properties.parse_content_header` and `fields.check_table` check them

cdef enum:
    # The flags of the properties that aren't shortstrs, or that are kept apart.
    CONTENT_TYPE = 1 << 15
    HEADERS = 1 << 13
    DELIVERY_MODE = 1 << 12
    PRIORITY = 1 << 11
    EXPIRATION = 1 << 8
    TIMESTAMP = 1 << 6
    UNUSED = 0b11
    PROPERTIES_AT = 14
    NESTING = 128

assert NESTING == MAX_NESTING


cdef ContentHeader new_header(const octet *octets, Py_ssize_t size, uint64 body_size):
    """The header of class basic in a payload of that size, or None when it can't be decoded."""
    cdef Py_ssize_t offset = PROPERTIES_AT
    cdef Py_ssize_t expiration_at = 0
    cdef uint32 flags, flag
    cdef int delivery_mode = 0
    cdef int priority = -1
    cdef ContentHeader header
    if size < PROPERTIES_AT:
        return None
    flags = uint16_at(octets + PROPERTIES_AT - 2)
    if flags & UNUSED:
        return None
    flag = CONTENT_TYPE
    while flag > UNUSED:
        if flags & flag:
            if flag == TIMESTAMP:
                offset += 8
            elif offset >= size:
                return None
            elif flag == HEADERS:
                offset = check_table(octets, offset, size)
                if offset == 0:
                    return None
            elif flag == DELIVERY_MODE:
                delivery_mode = octets[offset]
                offset += 1
            elif flag == PRIORITY:
                priority = octets[offset]
                offset += 1
            else:
                if flag == EXPIRATION:
                    expiration_at = offset
                offset += 1 + octets[offset]
        flag >>= 1
    if offset != size:
        return None
    header = ContentHeader.__new__(ContentHeader)
    header.raw = PyBytes_FromStringAndSize(<const char *>octets, size)
    header.class_id = BASIC
    header.body_size = body_size
    header.flags = flags
    header.delivery_mode = delivery_mode
    header.priority = priority
    if expiration_at:
        header.expiration = PyBytes_FromStringAndSize(
            <const char *>(octets + expiration_at + 1), octets[expiration_at]
        )
    return header


cdef Py_ssize_t check_table(const octet *octets, Py_ssize_t offset, Py_ssize_t limit) noexcept nogil:
    """The offset after the table at `offset`, 0 when it is for the plain form: malformed, or with a tag `L`."""
    cdef Py_ssize_t[NESTING] limits
    cdef bint[NESTING] are_tables
    cdef int depth = 0
    cdef bint in_table = True
    cdef octet tag
    cdef Py_ssize_t size
    if limit - offset < 4:
        return 0
    size = uint32_at(octets + offset)
    offset += 4
    if size > limit - offset:
        return 0
    limit = offset + size
    while True:
        while offset == limit:
            if depth == 0:
                return offset
            depth -= 1
            limit = limits[depth]
            in_table = are_tables[depth]
        if in_table:
            offset += 1 + octets[offset]
            if offset >= limit:
                return 0
        tag = octets[offset]
        offset += 1
        if tag == c'S' or tag == c'x' or tag == c'F' or tag == c'A':
            if limit - offset < 4:
                return 0
            size = uint32_at(octets + offset)
            offset += 4
            if size > limit - offset:
                return 0
            if tag == c'S' or tag == c'x':
                offset += size
                continue
            if depth + 1 >= NESTING:
                return 0
            limits[depth] = limit
            are_tables[depth] = in_table
            depth += 1
            in_table = tag == c'F'
            limit = offset + size
            continue
        elif tag == c't' or tag == c'b' or tag == c'B':
            offset += 1
        elif tag == c's' or tag == c'u':
            offset += 2
        elif tag == c'I' or tag == c'i' or tag == c'f':
            offset += 4
        elif tag == c'D':
            offset += 5
        elif tag == c'l' or tag == c'T' or tag == c'd':  # L has to be patched, which the plain form does
            offset += 8
        elif tag != c'V':
            return 0
        if offset > limit:
            return 0


# Frames out

cdef inline octet *room(bytearray out, Py_ssize_t octets) except NULL:
    """Make the buffer longer, and point to the beginning of the new part."""
    cdef Py_ssize_t size = PyByteArray_GET_SIZE(out)
    PyByteArray_Resize(out, size + octets)
    return <octet *>PyByteArray_AS_STRING(out) + size


cpdef append_content(
    bytearray out, int channel_id, bytes method_payload, bytes header_raw, bytes body, Py_ssize_t frame_max
):
    """`frames.append_content`, which says what the arguments are."""
    cdef Py_ssize_t method_size = PyBytes_GET_SIZE(method_payload)
    cdef Py_ssize_t header_size = PyBytes_GET_SIZE(header_raw)
    cdef Py_ssize_t body_size = PyBytes_GET_SIZE(body)
    cdef octet *at
    if body_size == 0 or (frame_max and body_size > frame_max - OVERHEAD):
        for piece in iter_content(channel_id, method_payload, header_raw, body, frame_max):
            out += piece
        return
    at = room(out, method_size + header_size + body_size + 3 * OVERHEAD)
    at = put_frame(at, METHOD, channel_id, method_payload)
    at = put_frame(at, HEADER, channel_id, header_raw)
    put_frame(at, BODY, channel_id, body)


cpdef append_heads(bytearray out, int channel_id, bytes method_payload, bytes header_raw, Py_ssize_t body_octets):
    """`frames.append_heads`, which says what the arguments are."""
    cdef Py_ssize_t size = PyBytes_GET_SIZE(method_payload) + PyBytes_GET_SIZE(header_raw)
    cdef octet *at = room(out, size + 2 * OVERHEAD + HEAD_SIZE)
    at = put_frame(at, METHOD, channel_id, method_payload)
    at = put_frame(at, HEADER, channel_id, header_raw)
    put_head(at, BODY, channel_id, body_octets)


cpdef append_delivery(
    bytearray out,
    int channel_id,
    bytes consumer_tag,
    uint64 delivery_tag,
    bint redelivered,
    bytes address,
    bytes header_raw,
    bytes body,
    Py_ssize_t frame_max,
):
    """`frames.append_delivery`, which says what the arguments are."""
    # 13 = class, method, delivery tag and the octet of bits.
    cdef Py_ssize_t method_size = 13 + PyBytes_GET_SIZE(consumer_tag) + PyBytes_GET_SIZE(address)
    cdef Py_ssize_t header_size = PyBytes_GET_SIZE(header_raw)
    cdef Py_ssize_t body_size = PyBytes_GET_SIZE(body)
    cdef octet *at
    if body_size == 0 or (frame_max and body_size > frame_max - OVERHEAD):
        payload = deliver_payload(consumer_tag, delivery_tag, redelivered, address)
        for piece in iter_content(channel_id, payload, header_raw, body, frame_max):
            out += piece
        return
    at = room(out, method_size + header_size + body_size + 3 * OVERHEAD)
    at = put_head(at, METHOD, channel_id, method_size)
    at = put(put_uint32(at, DELIVER), consumer_tag)
    at = put_uint32(put_uint32(at, <uint32>(delivery_tag >> 32)), <uint32>delivery_tag)
    at[0] = redelivered
    at = put(at + 1, address)
    at[0] = END
    at = put_frame(at + 1, HEADER, channel_id, header_raw)
    put_frame(at, BODY, channel_id, body)
