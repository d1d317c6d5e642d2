"""The octets of the record that is written most, handled in C; present in the compiled form only.

tests/storage/test_records.py and test_recovery.py hold it to the same answers as the plain functions.
"""

from cpython cimport array

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from google_crc32c import extend

from amqp_broker.storage.page import FURTHEST, PAGE_ROWS

ctypedef unsigned char octet
ctypedef unsigned int uint32
ctypedef unsigned long long uint64

cdef enum:
    CRC_SIZE = 4
    FIXED_SIZE = 58  # between CRC and address, with one reference
    HEAD_SIZE = 17  # what the length of a record does not count, the CRC included
    PUBLISH = 0x50
    MOVED = 0x56
    TO_ONE_SIZE = 62  # up to the address, with one reference
    CELLS = 6  # of a row, see `page.Page`
    REDELIVERED = 0x01
    TRANSIENT = 0x80


cdef inline octet *put_uint32(octet *at, uint32 number) noexcept nogil:
    at[0] = <octet>(number >> 24)
    at[1] = <octet>(number >> 16)
    at[2] = <octet>(number >> 8)
    at[3] = <octet>number
    return at + 4


cdef inline octet *put_uint64(octet *at, uint64 number) noexcept nogil:
    return put_uint32(put_uint32(at, <uint32>(number >> 32)), <uint32>number)


cdef inline octet *put(octet *at, bytes octets) noexcept:
    cdef Py_ssize_t size = PyBytes_GET_SIZE(octets)
    memcpy(at, PyBytes_AS_STRING(octets), size)
    return at + size


cpdef Py_ssize_t append_to_one(
    bytearray data,
    seed,
    uint64 number,
    uint32 ordinal,
    uint64 queue_id,
    uint64 position,
    uint64 expires_at_ms,
    octet flags,
    bytes address,
    bytes header,
    bytes body,
) except -1:
    """`records.append_to_one`, which says what the arguments are."""
    cdef Py_ssize_t head_size = FIXED_SIZE + PyBytes_GET_SIZE(address) + PyBytes_GET_SIZE(header)
    cdef Py_ssize_t size = CRC_SIZE + head_size + PyBytes_GET_SIZE(body)
    cdef bytes head = PyBytes_FromStringAndSize(NULL, head_size)
    cdef octet *at = <octet *>PyBytes_AS_STRING(head)
    at = put_uint64(put_uint32(at, <uint32>(size - HEAD_SIZE)), number)
    at[0] = PUBLISH
    at = put_uint32(put_uint32(put_uint32(at + 1, ordinal), 1), 0)
    at = put_uint32(put_uint32(at, <uint32>PyBytes_GET_SIZE(address)), <uint32>PyBytes_GET_SIZE(header))
    at = put_uint64(put_uint64(put_uint64(at, queue_id), position), expires_at_ms)
    at[0] = flags
    put(put(at + 1, address), header)
    cdef uint32 crc = extend(extend(seed, head), body)
    cdef Py_ssize_t before = PyByteArray_GET_SIZE(data)
    PyByteArray_Resize(data, before + size)
    put(put(put_uint32(<octet *>PyByteArray_AS_STRING(data) + before, crc), head), body)
    return size


cdef inline uint32 get_uint32(const octet *at) noexcept nogil:
    return <uint32>at[0] << 24 | <uint32>at[1] << 16 | <uint32>at[2] << 8 | at[3]


cdef inline uint64 get_uint64(const octet *at) noexcept nogil:
    return <uint64>get_uint32(at) << 32 | get_uint32(at + 4)


cdef inline int put_cell(array.array cells, uint32 number) except -1:
    cdef Py_ssize_t size = len(cells)
    array.resize_smart(cells, size + 1)
    cells.data.as_uints[size] = number
    return 0


def skip_valid(
    bytes data,
    seed,
    Py_ssize_t position,
    uint64 expected,
    array.array publishes,
    array.array moved,
    array.array others,
):
    """What `scan.scan` does while records are valid; gives position and number of the first that isn't, or the end."""
    cdef const octet *octets = <const octet *>PyBytes_AS_STRING(data)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t stop
    cdef octet kind
    while position + HEAD_SIZE <= size:
        stop = position + HEAD_SIZE + get_uint32(octets + position + 4)
        if stop > size or get_uint64(octets + position + 8) != expected:
            break
        if <uint32>extend(seed, data[position + CRC_SIZE : stop]) != get_uint32(octets + position):
            break
        kind = octets[position + 16]
        if kind == PUBLISH or kind == MOVED:
            put_cell(publishes, <uint32>position)
            if kind == MOVED:
                put_cell(moved, <uint32>position)
        else:
            put_cell(others, <uint32>position)
        position = stop
        expected += 1
    return position, expected


def take_rows(
    bytes data,
    array.array publishes,
    Py_ssize_t index,
    bytearray gone,
    dict marks,
    uint32 segment,
    uint32 redelivered,
    pages_of,
):
    """Put the usual messages of a segment into pages, from `index` of `publishes` to the first that is not usual.

    Usual is what is in one queue, persistent, doesn't expire, and has no mark. Gives the index of that first one, and what
    `Segment.live`, `live_octets` and `all_octets` grow by.
    """
    cdef const octet *octets = <const octet *>PyBytes_AS_STRING(data)
    cdef const octet *bits = <const octet *>PyByteArray_AS_STRING(gone)
    cdef const octet *at
    cdef Py_ssize_t size = PyBytes_GET_SIZE(data)
    cdef Py_ssize_t bits_size = PyByteArray_GET_SIZE(gone)
    cdef Py_ssize_t count = len(publishes)
    cdef Py_ssize_t full = <Py_ssize_t>PAGE_ROWS * CELLS
    cdef Py_ssize_t used
    cdef uint64 furthest = FURTHEST
    cdef uint64 live = 0, live_octets = 0, all_octets = 0
    cdef uint64 queue_id, its_queue = 0, position, first = 0, last = 0
    cdef uint32 offset, ordinal, length
    cdef octet flags
    cdef bint has_marks = bool(marks)
    cdef array.array cells = None
    cdef object page = None, pages = None
    while index < count:
        offset = publishes.data.as_uints[index]
        if <Py_ssize_t>offset + TO_ONE_SIZE > size:
            break
        at = octets + offset
        ordinal = get_uint32(at + 17)
        if get_uint32(at + 21) != 1 or <Py_ssize_t>(ordinal >> 3) >= bits_size:
            break
        length = HEAD_SIZE + get_uint32(at + 4)
        if bits[ordinal >> 3] >> (ordinal & 7) & 1:
            all_octets += length
            index += 1
            continue
        flags = at[61]
        if flags & TRANSIENT or get_uint64(at + 53) or (has_marks and ordinal in marks):
            break
        queue_id = get_uint64(at + 37)
        position = get_uint64(at + 45)
        if pages is None or queue_id != its_queue:
            if page is not None:
                page.last = last
            page, pages, its_queue = None, pages_of[queue_id], queue_id
        if page is None or position <= last or len(cells) >= full or position - first > furthest:
            if page is not None:
                page.last = last
            page = pages.page_for(position)
            if page.may_expire or page.counts_deliveries:  # it has more than cells
                page = None
                break
            cells, first, last = page.cells, page.first, page.last
        used = len(cells)
        array.resize_smart(cells, used + CELLS)
        cells.data.as_uints[used] = <uint32>(position - first)
        cells.data.as_uints[used + 1] = segment
        cells.data.as_uints[used + 2] = ordinal
        cells.data.as_uints[used + 3] = offset
        cells.data.as_uints[used + 4] = length << 1 | (flags & REDELIVERED) | redelivered
        cells.data.as_uints[used + 5] = length - TO_ONE_SIZE - get_uint32(at + 29) - get_uint32(at + 33)
        last = position
        live += 1
        live_octets += length
        all_octets += length
        index += 1
    if page is not None:
        page.last = last
    return index, live, live_octets, all_octets
