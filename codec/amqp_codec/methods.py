"""The methods of AMQP 0-9-1 and RabbitMQ's extensions (rule 0.1), each declared once, as a class.

A declaration is the wire layout as well: the fields in the order they are sent, each with its domain
(§4.2.5). The decorator `method` makes from it a class with slots and the steps that encode and decode it.
Every field has a default, so `QueueDeclare(queue="q", durable=True)` says all there is to say.

Text: a shortstr is `str`. Octets that aren't UTF-8 are an error, but in methods that carry content they
survive by surrogateescape: RabbitMQ checks neither exchange nor routing key of a publish (rule 1.51). A
longstr is `bytes`.
"""

# ruff: noqa: D101 - what a method and its fields are for, the specification says under their names.

from collections.abc import Callable
from enum import Enum, auto
from inspect import get_annotations
from re import findall
from struct import Struct
from struct import error as StructError  # noqa: N812 - its own name is lower case
from typing import Annotated, Any, ClassVar, Final, Protocol, TypeVar, dataclass_transform

from amqp_codec.constants import FRAME_END, FRAME_METHOD, ReplyCode
from amqp_codec.errors import CodecError
from amqp_codec.fields import (
    Table,
    decode_longstr,
    decode_shortstr,
    decode_table,
    encode_longstr,
    encode_shortstr,
    encode_table,
)


class _Domain(Enum):
    """How a field stands on the wire."""

    BIT = auto()
    OCTET = auto()
    SHORT = auto()
    LONG = auto()
    LONGLONG = auto()
    SHORTSTR = auto()
    LONGSTR = auto()
    TABLE = auto()


Bit = Annotated[bool, _Domain.BIT]
Octet = Annotated[int, _Domain.OCTET]
Short = Annotated[int, _Domain.SHORT]
Long = Annotated[int, _Domain.LONG]
LongLong = Annotated[int, _Domain.LONGLONG]
ShortStr = Annotated[str, _Domain.SHORTSTR]
LongStr = Annotated[bytes, _Domain.LONGSTR]
FieldTable = Annotated[Table, _Domain.TABLE]


class Method:
    """What all methods have in common; the decorator `method` fills in the class variables."""

    __slots__: ClassVar[tuple[str, ...]] = ()

    class_id: ClassVar[int]
    method_id: ClassVar[int]
    name: ClassVar[str]
    """As the specification spells it: `queue.declare-ok`."""
    has_content: ClassVar[bool]
    """True when a content header and body follow the method."""
    _steps: ClassVar[tuple["_Step", ...]]

    _defaults: ClassVar[tuple[object, ...]]
    """Of the fields; `dict` stands for a new, empty table."""

    def __init__(self, *values: object, **by_name: object) -> None:
        # What a dataclass compiles for each class whenever somebody starts is compiled for those that are used.
        class_ = type(self)
        class_.__init__ = _compile_init(class_.__slots__, class_._defaults)  # type: ignore[method-assign]
        class_.__init__(self, *values, **by_name)

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # type: ignore[assignment] # as Python does it beside __eq__

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{self.__class__.__qualname__}({fields})"


METHODS: Final[dict[int, type[Method]]] = {}
"""Every method class, by `class_id << 16 | method_id`, which are the first four octets of its payload."""

_M = TypeVar("_M", bound=Method)


def field(*, default_factory: type[dict[str, Any]]) -> Any:
    """The default of a table: each method has its own."""
    return default_factory


def _compile_init(names: tuple[str, ...], defaults: tuple[object, ...]) -> Callable[..., None]:
    """An `__init__` with these parameters, which sets the attributes of the same names."""
    lines = ["def __init__(" + ", ".join(["self", *(f"{name}=_{name}" for name in names)]) + "):"]
    for name, default in zip(names, defaults, strict=True):
        lines.append(
            f"    self.{name} = {{}} if {name} is dict else {name}" if default is dict else f"    self.{name} = {name}"
        )
    if not names:
        lines.append("    pass")
    namespace: dict[str, Any] = {f"_{name}": default for name, default in zip(names, defaults, strict=True)}
    exec("\n".join(lines), namespace)
    init: Callable[..., None] = namespace["__init__"]
    return init


@dataclass_transform(field_specifiers=(field,))
def method(class_id: int, method_id: int, *, has_content: bool = False) -> Callable[[type[_M]], type[_M]]:
    """Make a method class of a declaration, and enter it in `METHODS`."""

    def make(declaration: type[_M]) -> type[_M]:
        declared = vars(declaration)
        annotations = get_annotations(declaration)
        names = tuple(annotations)
        kept = {name: declared[name] for name in ("__doc__", "__module__", "__qualname__") if name in declared}
        namespace = {**kept, "__annotations__": annotations, "__slots__": names, "__match_args__": names}
        class_: type[_M] = type(declaration.__name__, declaration.__bases__, namespace)
        class_._defaults = tuple(declared[name] for name in names)
        class_.class_id = class_id
        class_.method_id = method_id
        family, *words = findall("[A-Z][a-z]+", class_.__name__)
        class_.name = f"{family}.{'-'.join(words)}".lower()
        class_.has_content = has_content
        class_._steps = _plan(annotations, has_content)
        METHODS[class_id << 16 | method_id] = class_
        return class_

    return make


# How fields are encoded and decoded


class _Step(Protocol):
    """Encodes and decodes one field, or several that stand together."""

    def decode(self, payload: bytes, offset: int, values: list[object]) -> int:
        """Append what stands at `offset` to `values`, and give the offset after it."""

    def encode(self, method: Method) -> bytes: ...


class _FixedStep:
    """A run of numbers and bits, as one struct. Neighbouring bits share an octet, the first is the lowest."""

    _FORMATS: Final = {_Domain.OCTET: "B", _Domain.SHORT: "H", _Domain.LONG: "I", _Domain.LONGLONG: "Q"}

    def __init__(self, run: list[tuple[str, _Domain]]) -> None:
        format_ = ">"
        # Each item is one of the struct's: the name of a number, or the names of an octet's bits.
        self._items: list[str | list[str]] = []
        for name, domain in run:
            if domain is not _Domain.BIT:
                format_ += self._FORMATS[domain]
                self._items.append(name)
            elif self._items and isinstance(bits := self._items[-1], list) and len(bits) < 8:
                bits.append(name)
            else:
                format_ += "B"
                self._items.append([name])
        self._struct = Struct(format_)

    def decode(self, payload: bytes, offset: int, values: list[object]) -> int:
        for item, number in zip(self._items, self._struct.unpack_from(payload, offset), strict=True):
            if isinstance(item, str):
                values.append(number)
            else:
                values.extend([number >> position & 1 == 1 for position in range(len(item))])
        return offset + self._struct.size

    def encode(self, method: Method) -> bytes:
        numbers = []
        for item in self._items:
            if isinstance(item, str):
                numbers.append(getattr(method, item))
            else:
                numbers.append(sum(1 << position for position, name in enumerate(item) if getattr(method, name)))
        return self._struct.pack(*numbers)


class _ShortStrStep:
    def __init__(self, name: str, errors: str) -> None:
        self._name = name
        self._errors = errors

    def decode(self, payload: bytes, offset: int, values: list[object]) -> int:
        text, offset = decode_shortstr(payload, offset, self._errors)
        values.append(text)
        return offset

    def encode(self, method: Method) -> bytes:
        return encode_shortstr(getattr(method, self._name))


class _LongStrStep:
    def __init__(self, name: str) -> None:
        self._name = name

    def decode(self, payload: bytes, offset: int, values: list[object]) -> int:
        octets, offset = decode_longstr(payload, offset)
        values.append(octets)
        return offset

    def encode(self, method: Method) -> bytes:
        return encode_longstr(getattr(method, self._name))


class _TableStep:
    def __init__(self, name: str) -> None:
        self._name = name

    def decode(self, payload: bytes, offset: int, values: list[object]) -> int:
        table, offset = decode_table(payload, offset)
        values.append(table)
        return offset

    def encode(self, method: Method) -> bytes:
        return encode_table(getattr(method, self._name))


def _plan(annotations: dict[str, Any], has_content: bool) -> tuple[_Step, ...]:
    """The steps for a declaration's fields; numbers and bits that stand together become one step."""
    steps: list[_Step] = []
    run: list[tuple[str, _Domain]] = []
    for name, annotation in annotations.items():
        (domain,) = annotation.__metadata__
        if domain not in (_Domain.SHORTSTR, _Domain.LONGSTR, _Domain.TABLE):
            run.append((name, domain))
            continue
        if run:
            steps.append(_FixedStep(run))
            run = []
        if domain is _Domain.SHORTSTR:
            steps.append(_ShortStrStep(name, "surrogateescape" if has_content else "strict"))
        elif domain is _Domain.LONGSTR:
            steps.append(_LongStrStep(name))
        else:
            steps.append(_TableStep(name))
    if run:
        steps.append(_FixedStep(run))
    return tuple(steps)


_ids: Final = Struct(">HH")
_frame_head: Final = Struct(">BHI")
_frame_end: Final = bytes((FRAME_END,))


def decode_method(payload: bytes) -> Method:
    """The method in a method frame's payload; CodecError if unknown or not exactly as declared."""
    if len(payload) < _ids.size:
        raise CodecError(ReplyCode.FRAME_ERROR, "unknown_frame: a method frame has at least 4 octets")
    class_id, method_id = _ids.unpack_from(payload)
    class_ = METHODS.get(class_id << 16 | method_id)
    if class_ is None:
        text = f"unknown method {class_id}.{method_id}"
        raise CodecError(ReplyCode.COMMAND_INVALID, text, class_id, method_id)
    values: list[object] = []
    offset = _ids.size
    try:
        for step in class_._steps:
            offset = step.decode(payload, offset, values)
    except UnicodeDecodeError as error:
        text = "Malformed UTF-8 in shortstr"
        raise CodecError(ReplyCode.FRAME_ERROR, text, class_id, method_id) from error
    except (CodecError, StructError) as error:
        text = f"cannot decode {class_.name}"
        raise CodecError(ReplyCode.FRAME_ERROR, text, class_id, method_id) from error
    if offset != len(payload):
        raise CodecError(ReplyCode.FRAME_ERROR, f"cannot decode {class_.name}", class_id, method_id)
    return class_(*values)


def encode_method_payload(method: Method) -> bytes:
    """The payload of the method's frame; ValueError if a value is out of range."""
    parts = [_ids.pack(method.class_id, method.method_id)]
    try:
        parts += [step.encode(method) for step in method._steps]
    except StructError as error:
        raise ValueError(f"a number is out of range in {method!r}") from error
    return b"".join(parts)


def encode_method_frame(channel_id: int, method: Method) -> bytes:
    """The whole frame, from type to end octet."""
    payload = encode_method_payload(method)
    return _frame_head.pack(FRAME_METHOD, channel_id, len(payload)) + payload + _frame_end


# The declarations


@method(10, 10)
class ConnectionStart(Method):
    version_major: Octet = 0
    version_minor: Octet = 0
    server_properties: FieldTable = field(default_factory=dict)
    mechanisms: LongStr = b""
    locales: LongStr = b""


@method(10, 11)
class ConnectionStartOk(Method):
    client_properties: FieldTable = field(default_factory=dict)
    mechanism: ShortStr = ""
    response: LongStr = b""
    locale: ShortStr = ""


@method(10, 20)
class ConnectionSecure(Method):
    challenge: LongStr = b""


@method(10, 21)
class ConnectionSecureOk(Method):
    response: LongStr = b""


@method(10, 30)
class ConnectionTune(Method):
    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


@method(10, 31)
class ConnectionTuneOk(Method):
    channel_max: Short = 0
    frame_max: Long = 0
    heartbeat: Short = 0


@method(10, 40)
class ConnectionOpen(Method):
    virtual_host: ShortStr = ""
    reserved_1: ShortStr = ""
    reserved_2: Bit = False


@method(10, 41)
class ConnectionOpenOk(Method):
    reserved_1: ShortStr = ""


@method(10, 50)
class ConnectionClose(Method):
    """The failing ids are those of the method that was at fault (rule 0.6), 0 if none was."""

    reply_code: Short = 0
    reply_text: ShortStr = ""
    failing_class_id: Short = 0
    failing_method_id: Short = 0


@method(10, 51)
class ConnectionCloseOk(Method):
    pass


@method(10, 60)
class ConnectionBlocked(Method):
    reason: ShortStr = ""


@method(10, 61)
class ConnectionUnblocked(Method):
    pass


@method(10, 70)
class ConnectionUpdateSecret(Method):
    new_secret: LongStr = b""
    reason: ShortStr = ""


@method(10, 71)
class ConnectionUpdateSecretOk(Method):
    pass


@method(20, 10)
class ChannelOpen(Method):
    reserved_1: ShortStr = ""


@method(20, 11)
class ChannelOpenOk(Method):
    reserved_1: LongStr = b""


@method(20, 20)
class ChannelFlow(Method):
    active: Bit = False


@method(20, 21)
class ChannelFlowOk(Method):
    active: Bit = False


@method(20, 40)
class ChannelClose(Method):
    """The failing ids are those of the method that was at fault (rule 0.6), 0 if none was."""

    reply_code: Short = 0
    reply_text: ShortStr = ""
    failing_class_id: Short = 0
    failing_method_id: Short = 0


@method(20, 41)
class ChannelCloseOk(Method):
    pass


@method(30, 10)
class AccessRequest(Method):
    realm: ShortStr = ""
    exclusive: Bit = False
    passive: Bit = False
    active: Bit = False
    write: Bit = False
    read: Bit = False


@method(30, 11)
class AccessRequestOk(Method):
    ticket: Short = 0


@method(40, 10)
class ExchangeDeclare(Method):
    ticket: Short = 0
    exchange: ShortStr = ""
    type: ShortStr = ""
    passive: Bit = False
    durable: Bit = False
    auto_delete: Bit = False
    internal: Bit = False
    no_wait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


@method(40, 11)
class ExchangeDeclareOk(Method):
    pass


@method(40, 20)
class ExchangeDelete(Method):
    ticket: Short = 0
    exchange: ShortStr = ""
    if_unused: Bit = False
    no_wait: Bit = False


@method(40, 21)
class ExchangeDeleteOk(Method):
    pass


@method(40, 30)
class ExchangeBind(Method):
    ticket: Short = 0
    destination: ShortStr = ""
    source: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


@method(40, 31)
class ExchangeBindOk(Method):
    pass


@method(40, 40)
class ExchangeUnbind(Method):
    ticket: Short = 0
    destination: ShortStr = ""
    source: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


@method(40, 51)
class ExchangeUnbindOk(Method):
    pass


@method(50, 10)
class QueueDeclare(Method):
    ticket: Short = 0
    queue: ShortStr = ""
    passive: Bit = False
    durable: Bit = False
    exclusive: Bit = False
    auto_delete: Bit = False
    no_wait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


@method(50, 11)
class QueueDeclareOk(Method):
    queue: ShortStr = ""
    message_count: Long = 0
    consumer_count: Long = 0


@method(50, 20)
class QueueBind(Method):
    ticket: Short = 0
    queue: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    no_wait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


@method(50, 21)
class QueueBindOk(Method):
    pass


@method(50, 30)
class QueuePurge(Method):
    ticket: Short = 0
    queue: ShortStr = ""
    no_wait: Bit = False


@method(50, 31)
class QueuePurgeOk(Method):
    message_count: Long = 0


@method(50, 40)
class QueueDelete(Method):
    ticket: Short = 0
    queue: ShortStr = ""
    if_unused: Bit = False
    if_empty: Bit = False
    no_wait: Bit = False


@method(50, 41)
class QueueDeleteOk(Method):
    message_count: Long = 0


@method(50, 50)
class QueueUnbind(Method):
    ticket: Short = 0
    queue: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    arguments: FieldTable = field(default_factory=dict)


@method(50, 51)
class QueueUnbindOk(Method):
    pass


@method(60, 10)
class BasicQos(Method):
    prefetch_size: Long = 0
    prefetch_count: Short = 0
    global_: Bit = False


@method(60, 11)
class BasicQosOk(Method):
    pass


@method(60, 20)
class BasicConsume(Method):
    ticket: Short = 0
    queue: ShortStr = ""
    consumer_tag: ShortStr = ""
    no_local: Bit = False
    no_ack: Bit = False
    exclusive: Bit = False
    no_wait: Bit = False
    arguments: FieldTable = field(default_factory=dict)


@method(60, 21)
class BasicConsumeOk(Method):
    consumer_tag: ShortStr = ""


@method(60, 30)
class BasicCancel(Method):
    consumer_tag: ShortStr = ""
    no_wait: Bit = False


@method(60, 31)
class BasicCancelOk(Method):
    consumer_tag: ShortStr = ""


@method(60, 40, has_content=True)
class BasicPublish(Method):
    ticket: Short = 0
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    mandatory: Bit = False
    immediate: Bit = False


@method(60, 50, has_content=True)
class BasicReturn(Method):
    reply_code: Short = 0
    reply_text: ShortStr = ""
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


@method(60, 60, has_content=True)
class BasicDeliver(Method):
    consumer_tag: ShortStr = ""
    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortStr = ""
    routing_key: ShortStr = ""


@method(60, 70)
class BasicGet(Method):
    ticket: Short = 0
    queue: ShortStr = ""
    no_ack: Bit = False


@method(60, 71, has_content=True)
class BasicGetOk(Method):
    delivery_tag: LongLong = 0
    redelivered: Bit = False
    exchange: ShortStr = ""
    routing_key: ShortStr = ""
    message_count: Long = 0


@method(60, 72)
class BasicGetEmpty(Method):
    reserved_1: ShortStr = ""


@method(60, 80)
class BasicAck(Method):
    delivery_tag: LongLong = 0
    multiple: Bit = False


@method(60, 90)
class BasicReject(Method):
    delivery_tag: LongLong = 0
    requeue: Bit = False


@method(60, 100)
class BasicRecoverAsync(Method):
    requeue: Bit = False


@method(60, 110)
class BasicRecover(Method):
    requeue: Bit = False


@method(60, 111)
class BasicRecoverOk(Method):
    pass


@method(60, 120)
class BasicNack(Method):
    delivery_tag: LongLong = 0
    multiple: Bit = False
    requeue: Bit = False


@method(85, 10)
class ConfirmSelect(Method):
    no_wait: Bit = False


@method(85, 11)
class ConfirmSelectOk(Method):
    pass


@method(90, 10)
class TxSelect(Method):
    pass


@method(90, 11)
class TxSelectOk(Method):
    pass


@method(90, 20)
class TxCommit(Method):
    pass


@method(90, 21)
class TxCommitOk(Method):
    pass


@method(90, 30)
class TxRollback(Method):
    pass


@method(90, 31)
class TxRollbackOk(Method):
    pass
