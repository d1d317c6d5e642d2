"""What comes with a request: JSON whatever it calls itself, or a form with a file of it."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from amqp_broker.management.errors import bad_request

MAX_DEPTH: Final = 100
"""Lists and objects within each other; more could not be written down again."""

_NOTHING: Final = (b"", b"null", b"undefined")
_BOM: Final = b"\xef\xbb\xbf"


async def read_body(chunks: AsyncIterable[bytes], content_type: str, max_octets: int) -> Any:
    """Read a body as JSON; nothing, `null` and `undefined` are `{}`.

    Args:
        chunks: as they come.
        content_type: looked at only for a form, whose field `file` is read then.
        max_octets: how long it may be.

    Raises:
        ApiError: 400, it is too long, no JSON, or nested too deeply.
    """
    octets = await _read(chunks, max_octets)
    is_form = content_type.lower().startswith("multipart/form-data")
    text = (_file_of(octets, content_type) if is_form else octets).removeprefix(_BOM).strip()
    if text in _NOTHING:
        return {}
    try:
        body = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad_request("not_json") from None
    if _is_too_deep(body):
        raise bad_request(f"more than {MAX_DEPTH} lists and objects within each other")
    return body


async def read_form(chunks: AsyncIterable[bytes], max_octets: int) -> dict[str, str]:
    """Read the fields of a form as browsers send it; of several with one name the last.

    Raises:
        ApiError: 400, it is too long, or no text.
    """
    try:
        return dict(parse_qsl((await _read(chunks, max_octets)).decode(), keep_blank_values=True))
    except ValueError:
        raise bad_request("not a form") from None


async def _read(chunks: AsyncIterable[bytes], max_octets: int) -> bytes:
    octets = bytearray()
    async for chunk in chunks:
        octets += chunk
        if len(octets) > max_octets:
            raise bad_request(f"Payload size exceeds the limit of {max_octets} octets")
    return bytes(octets)


def _file_of(octets: bytes, content_type: str) -> bytes:
    """The field `file` of a form, empty without one."""
    header = content_type.encode("latin-1", "replace").replace(b"\r", b"").replace(b"\n", b"")
    form = BytesParser(policy=HTTP).parsebytes(b"content-type: " + header + b"\r\n\r\n" + octets)
    for part in form.iter_parts():
        if part.get_param("name", header="content-disposition") == "file":
            content = part.get_payload(decode=True)
            return content if isinstance(content, bytes) else b""
    return b""


def _is_too_deep(body: Any) -> bool:
    level = _nested([body])
    for _ in range(MAX_DEPTH):
        if not level:
            return False
        level = [child for each in level for child in _nested(each if isinstance(each, list) else each.values())]
    return bool(level)


def _nested(values: Iterable[Any]) -> list[Any]:
    return [each for each in values if isinstance(each, list | dict)]
