from collections.abc import Mapping

from amqp_codec.commands import Received

class UsualCommands:
    def __init__(self, max_body_octets: int, assemblies: Mapping[int, object]) -> None: ...
    def take(self, data: bytes, offset: int, limit: int, received: list[Received], most: int) -> int: ...

def new_octets(size: int) -> bytes | bytearray: ...
def view_of(octets: bytes | bytearray) -> memoryview: ...
def append_content(
    out: bytearray, channel_id: int, method_payload: bytes, header_raw: bytes, body: bytes, frame_max: int
) -> None: ...
def append_heads(
    out: bytearray, channel_id: int, method_payload: bytes, header_raw: bytes, body_octets: int
) -> None: ...
def append_delivery(
    out: bytearray,
    channel_id: int,
    consumer_tag: bytes,
    delivery_tag: int,
    redelivered: bool,
    address: bytes,
    header_raw: bytes,
    body: bytes,
    frame_max: int,
) -> None: ...
