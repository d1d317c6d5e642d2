"""What hostile and broken clients send, made from a seeded random generator."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from random import Random
from typing import Final

from amqp_codec import (
    HEARTBEAT_FRAME,
    METHODS,
    PROTOCOL_HEADER,
    BasicAck,
    BasicConsume,
    BasicGet,
    BasicNack,
    BasicPublish,
    BasicQos,
    ChannelClose,
    ChannelOpen,
    ConfirmSelect,
    ConnectionClose,
    ConnectionOpen,
    ConnectionStartOk,
    ConnectionTuneOk,
    ExchangeDeclare,
    Method,
    Properties,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    Table,
    TxCommit,
    TxSelect,
    Value,
    encode_content_header,
    encode_frame,
    encode_method_frame,
    encode_method_payload,
)
from tests.support.client import CAPABILITIES, PLAIN_GUEST

FRAME_MAX: Final = 131_072
DEPTH: Final = 1000
"""How deep tables are nested."""


class Ending(Enum):
    """What a client does when it has sent everything."""

    CLOSE = auto()
    """Closes its socket."""
    RESET = auto()
    """Lets the broker read a reset instead of an end."""
    READ_THEN_CLOSE = auto()
    """Reads what has come, then closes."""
    WAIT = auto()
    """Reads until the broker ends its side; only for what the broker has to refuse."""


@dataclass(frozen=True)
class Attack:
    """One visit.

    Attributes:
        pieces: what is sent, each piece on its own.
        is_refused: the broker must end this connection whatever the client does.
        reads: the client takes in what comes.
        ending: how it leaves.
    """

    pieces: list[bytes] = field(repr=False)
    is_refused: bool = False
    reads: bool = True
    ending: Ending = Ending.CLOSE


Make = Callable[[Random], Attack]


def handshake(random: Random, *, heartbeat: int = 0, properties: Table | None = None) -> bytes:
    """All that a client says until it is let in; the broker's answers are not waited for."""
    start_ok = ConnectionStartOk(
        client_properties=properties or {"capabilities": CAPABILITIES},
        mechanism=random.choice(["PLAIN", "PLAIN", "ANONYMOUS"]),
        response=PLAIN_GUEST,
        locale="en_US",
    )
    tune_ok = ConnectionTuneOk(channel_max=2047, frame_max=FRAME_MAX, heartbeat=heartbeat)
    return PROTOCOL_HEADER + b"".join(
        encode_method_frame(0, method) for method in (start_ok, tune_ok, ConnectionOpen(virtual_host="/"))
    )


def channel(number: int = 1) -> bytes:
    return encode_method_frame(number, ChannelOpen())


def content(number: int, method: BasicPublish, body: bytes, properties: Properties | None = None) -> list[bytes]:
    """The frames of a publish."""
    return [
        encode_frame(1, number, encode_method_payload(method)),
        encode_frame(2, number, encode_content_header(properties or Properties(), len(body))),
        *(encode_frame(3, number, body[place : place + 4088]) for place in range(0, len(body), 4088)),
    ]


def nested_table(depth: int) -> bytes:
    """The octets of a table in a table in a table."""
    octets = b""
    for _ in range(depth):
        octets = b"\x01tF" + struct.pack(">I", len(octets)) + octets
    return struct.pack(">I", len(octets)) + octets


def nested_array(depth: int) -> bytes:
    """The octets of a table with an array in an array in an array."""
    octets = b""
    for _ in range(depth):
        octets = b"A" + struct.pack(">I", len(octets)) + octets
    octets = b"\x01a" + octets
    return struct.pack(">I", len(octets)) + octets


def own_queue(random: Random) -> str:
    """One of a few names, so that hostile clients meet each other, and nobody else."""
    return f"hostile {random.randrange(8)}"


def session(random: Random) -> list[bytes]:
    """The frames of an ordinary client, one after the other, from the first octet to the last."""
    queue = own_queue(random)
    frames = [handshake(random), channel(1), channel(2)]
    for _ in range(random.randrange(1, 12)):
        number = random.choice([1, 2])
        publish = BasicPublish(routing_key=queue, mandatory=random.random() < 0.3)
        properties = Properties(
            headers={"k": random.randrange(100), "t": {"a": [b"x", None, 1.5]}}, expiration="1000", delivery_mode=2
        )
        frames += random.choice(
            [
                [encode_method_frame(number, QueueDeclare(queue=queue))],
                [encode_method_frame(number, QueueDeclare(exclusive=True, auto_delete=True))],
                [encode_method_frame(number, QueueBind(queue=queue, exchange="amq.topic", routing_key="#.x"))],
                [encode_method_frame(number, ExchangeDeclare(exchange=queue, type="fanout", auto_delete=True))],
                content(number, publish, random.randbytes(random.choice([0, 1, 100, 10_000]))),
                content(number, publish, b"body", properties),
                [encode_method_frame(number, BasicConsume(queue=queue, no_ack=random.random() < 0.5))],
                [encode_method_frame(number, BasicGet(queue=queue))],
                [encode_method_frame(number, BasicQos(prefetch_count=3, global_=random.random() < 0.5))],
                [encode_method_frame(number, BasicAck(delivery_tag=random.randrange(3), multiple=True))],
                [encode_method_frame(number, BasicNack(delivery_tag=1, requeue=True))],
                [encode_method_frame(number, ConfirmSelect())],
                [encode_method_frame(number, TxSelect()), encode_method_frame(number, TxCommit())],
                [encode_method_frame(number, QueuePurge(queue=queue))],
                [encode_method_frame(number, QueueDelete(queue=queue))],
                [encode_method_frame(number, ChannelClose()), channel(number)],
                [HEARTBEAT_FRAME],
            ]
        )
    frames.append(encode_method_frame(0, ConnectionClose(reply_code=200)))
    return frames


def sliced(random: Random, octets: bytes) -> list[bytes]:
    """The same octets in a few pieces."""
    places = sorted(random.randrange(len(octets) + 1) for _ in range(random.randrange(4)))
    return [octets[start:end] for start, end in zip([0, *places], [*places, len(octets)], strict=True)]


def leaving(random: Random) -> Ending:
    return random.choice([Ending.CLOSE, Ending.RESET, Ending.READ_THEN_CLOSE])


def refused(random: Random, octets: bytes) -> Attack:
    """An attack that the broker has to see through, however the client behaves."""
    ending = random.choice([Ending.WAIT, *Ending])
    return Attack(sliced(random, octets), is_refused=True, ending=ending)


# Before anything is agreed


def random_octets(random: Random) -> Attack:
    return refused(random, random.randbytes(random.randrange(8, 5000)))


def other_protocols(random: Random) -> Attack:
    return refused(
        random,
        random.choice(
            [
                b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"AMQP\x03\x01\x00\x00" + bytes(100),
                b"AMQP\x00\x00\x09\x00",
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
                b"SSH-2.0-OpenSSH_9.6\r\n",
                b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3c\x00\x04test",
            ]
        ),
    )


def half_a_handshake(random: Random) -> Attack:
    """It begins well, and then there is silence."""
    whole = handshake(random)
    return refused(random, whole[: random.randrange(len(whole))])


def octets_after_the_header(random: Random) -> Attack:
    return refused(random, PROTOCOL_HEADER + random.randbytes(random.randrange(8, 1000)))


def nested_client_properties(random: Random) -> Attack:
    payload = b"\x00\x0a\x00\x0b" + random.choice([nested_table, nested_array])(DEPTH)
    payload += b"\x05PLAIN" + struct.pack(">I", len(PLAIN_GUEST)) + PLAIN_GUEST + b"\x05en_US"
    return refused(random, PROTOCOL_HEADER + encode_frame(1, 0, payload))


def odd_client_properties(random: Random) -> Attack:
    """Names and capabilities of types that nobody expects; perfectly legal."""
    capabilities: list[Value] = [None, b"x", 5, {"connection.blocked": b"yes"}, [True]]
    names: list[Value] = [None, 7, b"\xff\xfe", b"two\nlines", b"x" * 4000]
    properties: Table = {"capabilities": random.choice(capabilities), "connection_name": random.choice(names)}
    return Attack([handshake(random, properties=properties), channel()], ending=leaving(random))


def wrong_logins(random: Random) -> Attack:
    mechanism = random.choice(["PLAIN", "AMQPLAIN", "EXTERNAL", "", "\0", "x" * 255])
    response = random.choice([b"", b"\0\0", b"\0guest\0wrong", random.randbytes(50), nested_table(300)[4:]])
    start_ok = ConnectionStartOk(
        client_properties=random.choice([{}, {"capabilities": CAPABILITIES}]), mechanism=mechanism, response=response
    )
    return refused(random, PROTOCOL_HEADER + encode_method_frame(0, start_ok))


def odd_tuning(random: Random) -> Attack:
    whole = handshake(random)
    tune_ok = encode_method_frame(
        0,
        ConnectionTuneOk(
            channel_max=random.choice([0, 2048, 65535]), frame_max=random.choice([0, 1, 4095, 1 << 31]), heartbeat=1
        ),
    )
    place = whole.index(b"\x00\x0a\x00\x1f") - 7
    return refused(random, whole[:place] + tune_ok + whole[place + len(tune_ok) :])


# Once it is let in


def let_in(random: Random, *frames: bytes) -> bytes:
    return handshake(random) + channel() + b"".join(frames)


def octets_on_a_channel(random: Random) -> Attack:
    return Attack(sliced(random, let_in(random, random.randbytes(random.randrange(1, 3000)))), ending=leaving(random))


def truncated_frames(random: Random) -> Attack:
    octets = b"".join(session(random))
    return Attack(sliced(random, octets[: random.randrange(len(octets))]), ending=leaving(random))


def unknown_frames(random: Random) -> Attack:
    kind = random.choice([0, 4, 5, 6, 7, 9, 10, 100, 255])
    return refused(random, let_in(random, encode_frame(kind, random.choice([0, 1, 9]), random.randbytes(20))))


def wrong_end_octets(random: Random) -> Attack:
    frame = random.choice([channel(2), HEARTBEAT_FRAME, encode_method_frame(1, QueueDeclare(queue="x"))])
    return refused(random, let_in(random, frame[:-1] + bytes((random.randrange(0xCE),)), random.randbytes(100)))


def enormous_frames(random: Random) -> Attack:
    size = random.choice([0xFFFFFFFF, 0xFFFFFFF7, 1 << 31, FRAME_MAX + 1])
    head = struct.pack(">BHI", random.choice([1, 2, 3, 8]), random.choice([0, 1]), size)
    return refused(random, let_in(random, head, random.randbytes(100)))


def enormous_bodies(random: Random) -> Attack:
    """More is announced than ever comes."""
    size = random.choice([(1 << 64) - 1, 1 << 63, 1 << 32, 536_870_913])
    publish = encode_frame(1, 1, encode_method_payload(BasicPublish(routing_key=own_queue(random))))
    header = encode_frame(2, 1, b"\x00\x3c\x00\x00" + struct.pack(">Q", size) + b"\x00\x00")
    return refused(random, let_in(random, publish, header, encode_frame(3, 1, bytes(1000))))


def too_large_bodies(random: Random) -> Attack:
    """As much as may be announced, and more than is taken; and never finished."""
    size = random.choice([536_870_912, 1 << 28, (2 << 20) + 1])
    publish = encode_frame(1, 1, encode_method_payload(BasicPublish(routing_key=own_queue(random))))
    header = encode_frame(2, 1, b"\x00\x3c\x00\x00" + struct.pack(">Q", size) + b"\x00\x00")
    bodies = encode_frame(3, 1, bytes(100_000)) * random.randrange(1, 15)
    return Attack([let_in(random, publish, header), bodies], ending=leaving(random))


def nested_arguments(random: Random) -> Attack:
    table = random.choice([nested_table, nested_array])(random.choice([130, DEPTH, 10_000]))
    payload = b"\x00\x32\x00\x0a\x00\x00\x01q\x00" + table
    return refused(random, let_in(random, encode_frame(1, 1, payload)))


def nested_headers(random: Random) -> Attack:
    table = random.choice([nested_table, nested_array])(random.choice([130, DEPTH, 10_000]))
    publish = encode_frame(1, 1, encode_method_payload(BasicPublish(routing_key=own_queue(random))))
    header = encode_frame(2, 1, b"\x00\x3c\x00\x00" + bytes(8) + b"\x20\x00" + table)
    return refused(random, let_in(random, publish, header))


def invalid_utf8(random: Random) -> Attack:
    name = random.choice(["\udcff", "q\udc80", "\udcc3(", "\udced\udca0\udc80", "\udcf8" * 100])
    method = random.choice(
        [
            QueueDeclare(queue=name),
            QueueDelete(queue=name),
            ExchangeDeclare(exchange=name),
            ExchangeDeclare(exchange="x", type=name),
            QueueBind(queue="q", exchange="amq.topic", routing_key=name),
            BasicConsume(queue="q", consumer_tag=name),
        ]
    )
    return refused(random, let_in(random, encode_method_frame(1, method)))


def odd_addresses(random: Random) -> Attack:
    """Exchanges and routing keys that are no text; allowed, and they reach the log."""
    name = random.choice(["\udcff", "line\nline", "\x00", "\x1b[2J", "é" * 127])
    publish = BasicPublish(exchange=random.choice(["", "amq.topic", name]), routing_key=name, mandatory=True)
    return Attack([let_in(random), *content(1, publish, b"x")], ending=leaving(random))


def unknown_methods(random: Random) -> Attack:
    while True:
        class_id, method_id = random.choice([(60, 41), (61, 40), (0, 0), (random.getrandbits(16), 7)])
        if class_id << 16 | method_id not in METHODS:
            break
    payload = struct.pack(">HH", class_id, method_id) + random.randbytes(10)
    return refused(random, let_in(random, encode_frame(1, random.choice([0, 1]), payload)))


def cut_methods(random: Random) -> Attack:
    """A method whose arguments end too early."""
    index = random.choice([index for index, method in METHODS.items() if method.__slots__])
    payload = encode_method_payload(METHODS[index]())
    return refused(random, let_in(random, encode_frame(1, 1, payload[: random.randrange(4, len(payload))])))


def wrong_sequences(random: Random) -> Attack:
    publish, header, body = content(1, BasicPublish(routing_key=own_queue(random)), b"body")
    frames = random.choice(
        [[header], [body], [publish, publish], [publish, body], [publish, header, publish], [publish, header, header]]
    )
    return refused(random, let_in(random, *frames))


def mutated_sessions(random: Random) -> Attack:
    """A valid session with a few octets changed, left out, put in or repeated."""
    octets = bytearray(b"".join(session(random)))
    begin = random.choice([0, octets.index(b"\x00\x14\x00\x0a")])
    for _ in range(random.randrange(1, 6)):
        place = random.randrange(begin, len(octets))
        change = random.randrange(5)
        if change == 0:
            octets[place] ^= 1 << random.randrange(8)
        elif change == 1:
            octets[place] = random.choice([0, 1, 2, 3, 8, 0x7F, 0x80, 0xCE, 0xFF])
        elif change == 2:
            del octets[place : place + random.randrange(1, 9)]
        elif change == 3:
            octets[place:place] = random.randbytes(random.randrange(1, 9))
        else:
            octets[place:place] = octets[place : place + random.randrange(1, 200)]
    return Attack(sliced(random, bytes(octets)), reads=random.random() < 0.8, ending=leaving(random))


def shuffled_sessions(random: Random) -> Attack:
    """Whole frames in an order of their own."""
    first, *frames = session(random)
    random.shuffle(frames)
    return Attack([first, *frames], reads=random.random() < 0.8, ending=leaving(random))


def random_methods(random: Random) -> Attack:
    """Well-formed methods of any kind, with values that mean little."""
    frames = []
    for _ in range(random.randrange(1, 20)):
        method = random_method(random)
        number = random.choice([1, 1, 1, 1, 1, 2, 0])
        if isinstance(method, BasicPublish):
            frames += content(1, method, random.randbytes(random.randrange(50)))
        else:
            frames.append(encode_method_frame(number, method))
    return Attack([let_in(random), *frames], reads=random.random() < 0.8, ending=leaving(random))


def random_method(random: Random) -> Method:
    class_ = random.choice([method for method in METHODS.values() if method.class_id != 10])
    method = class_()
    for name in method.__slots__:
        before = getattr(method, name)
        if isinstance(before, bool):
            value: object = random.random() < 0.3
        elif isinstance(before, int):
            value = random.choice([0, 1, 2, 255])
        elif isinstance(before, str):
            value = random.choice(["", own_queue(random), "amq.topic", "amq.gen-x", "direct", "a" * 255])
        elif isinstance(before, bytes):
            value = random.randbytes(5)
        else:
            value = random.choice(
                [
                    {},
                    {"x-max-length": 1},
                    {"x-message-ttl": random.choice([0, 1, b"x", -1])},
                    {"x-dead-letter-exchange": b"", "x-dead-letter-routing-key": own_queue(random).encode()},
                    {"x-queue-type": random.choice([b"quorum", b"stream", b"nonsense", 1])},
                    {"x-max-priority": random.choice([1, 255, 256])},
                    {"x-expires": random.choice([1, 0])},
                    {"x-match": b"all", "k": random.choice([1, b"v", {}])},
                ]
            )
        setattr(method, name, value)
    return method


def deaf_clients(random: Random) -> Attack:
    """Asks for much and reads none of it."""
    queue = own_queue(random)
    publish = b"".join(content(1, BasicPublish(routing_key="nowhere", mandatory=True), bytes(3000)))
    declare = encode_method_frame(1, QueueDeclare(queue=queue, passive=True))
    asked = random.choice([publish, declare, publish + declare]) * random.randrange(100, 400)
    ending = random.choice([Ending.CLOSE, Ending.RESET])
    return Attack([let_in(random), asked], reads=False, ending=ending)


def too_many_channels(random: Random) -> Attack:
    return refused(random, handshake(random) + b"".join(map(channel, range(1, 2050))))


def many_mistakes(random: Random) -> Attack:
    """Channel errors, one after the other, as fast as they can be made."""
    error = encode_method_frame(1, QueuePurge(queue="missing"))
    again = encode_method_frame(1, METHODS[20 << 16 | 41]()) + channel(1)
    return Attack([let_in(random), (error + again) * random.randrange(1, 30)], ending=leaving(random))


def empty_frames(random: Random) -> Attack:
    """Much that means nothing: heartbeats, and a body in thousands of pieces."""
    publish, header, *_ = content(1, BasicPublish(routing_key=own_queue(random)), bytes(10))
    nothing = HEARTBEAT_FRAME * 1000 + encode_frame(3, 1, b"") * 1000
    return Attack([let_in(random, publish, header), nothing], ending=leaving(random))


def octet_by_octet(random: Random) -> Attack:
    octets = b"".join(session(random))
    return Attack([octets[place : place + 1] for place in range(min(len(octets), 600))], ending=leaving(random))


ATTACKS: Final[list[Make]] = [
    random_octets,
    other_protocols,
    half_a_handshake,
    octets_after_the_header,
    nested_client_properties,
    odd_client_properties,
    wrong_logins,
    odd_tuning,
    octets_on_a_channel,
    truncated_frames,
    unknown_frames,
    wrong_end_octets,
    enormous_frames,
    enormous_bodies,
    too_large_bodies,
    nested_arguments,
    nested_headers,
    invalid_utf8,
    odd_addresses,
    unknown_methods,
    cut_methods,
    wrong_sequences,
    mutated_sessions,
    shuffled_sessions,
    random_methods,
    deaf_clients,
    too_many_channels,
    many_mistakes,
    empty_frames,
    octet_by_octet,
]


def attack(seed: int) -> tuple[str, Attack]:
    """The attack of a number: always the same, and each kind in its turn."""
    make = ATTACKS[seed % len(ATTACKS)]
    made = make(Random(seed))
    return make.__name__, replace(made, pieces=[piece for piece in made.pieces if piece])
