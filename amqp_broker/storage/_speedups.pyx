"""The octets of the record that is written most, handled in C; present in the compiled form only.

tests/storage/test_records.py holds it to the same answers as the plain function.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE, PyByteArray_Resize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.string cimport memcpy

from google_crc32c import extend

ctypedef unsigned char octet
ctypedef unsigned int uint32
ctypedef unsigned long long uint64

cdef enum:
    CRC_SIZE = 4
    FIXED_SIZE = 58  # between CRC and address, with one reference
    HEAD_SIZE = 17  # what the length of a record does not count, the CRC included
    PUBLISH = 0x50


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
