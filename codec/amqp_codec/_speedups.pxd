# What the compiled message path calls without going through Python.

cpdef append_content(
    bytearray out, int channel_id, bytes method_payload, bytes header_raw, bytes body, Py_ssize_t frame_max
)

cpdef append_heads(bytearray out, int channel_id, bytes method_payload, bytes header_raw, Py_ssize_t body_octets)

cpdef append_delivery(
    bytearray out,
    int channel_id,
    bytes consumer_tag,
    unsigned long long delivery_tag,
    bint redelivered,
    bytes address,
    bytes header_raw,
    bytes body,
    Py_ssize_t frame_max,
)

