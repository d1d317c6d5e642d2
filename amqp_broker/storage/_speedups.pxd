# What the journal calls without going through Python.

cpdef Py_ssize_t append_to_one(
    bytearray data,
    seed,
    unsigned long long number,
    unsigned int ordinal,
    unsigned long long queue_id,
    unsigned long long position,
    unsigned long long expires_at_ms,
    unsigned char flags,
    bytes address,
    bytes header,
    bytes body,
) except -1
