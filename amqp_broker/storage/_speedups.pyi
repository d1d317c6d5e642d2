from array import array
from collections import defaultdict

from amqp_broker.storage.page import Pages

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
def skip_valid(
    data: bytes,
    seed: int,
    position: int,
    expected: int,
    publishes: array[int],
    moved: array[int],
    others: array[int],
) -> tuple[int, int]: ...
def take_rows(
    data: bytes,
    publishes: array[int],
    index: int,
    gone: bytearray,
    marks: dict[int, tuple[int, int]],
    segment: int,
    redelivered: int,
    pages_of: defaultdict[int, Pages],
) -> tuple[int, int, int, int]: ...
