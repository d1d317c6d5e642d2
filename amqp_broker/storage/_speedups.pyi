def append_to_one(
    data: bytearray,
    seed: int,
    number: int,
    ordinal: int,
    queue_id: int,
    position: int,
    expires_at_ms: int,
    flags: int,
    address: bytes,
    header: bytes,
    body: bytes,
) -> int: ...
