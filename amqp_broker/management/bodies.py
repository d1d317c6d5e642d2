"""What comes with a request: JSON whatever it calls itself, or a form with a file of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Iterable
from email.parser import BytesParser
from email.policy import HTTP
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec
import trio

from amqp_broker.management.errors import bad_request

MAX_DEPTH: Final = 100
"""Lists and objects within each other; more could not be written down again."""

_NOTHING: Final = (b"", b"null", b"undefined")
_BOM: Final = b"\xef\xbb\xbf"
_BEFORE_VALUES: Final = (b",", b"[", b"{")
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[,\[{]', re.DOTALL)
"""A string, or what comes before a value."""


MAX_VALUES: Final = 10_000
"""Values in a body that somebody sends who is no administrator; while a body is decoded no message moves."""

_LONG_OCTETS: Final = 256 * 1024
"""A body so long is looked through aside."""

_STEP: Final = 500
"""Tokens that are looked at before the loop has its turn."""


async def read_body(
    chunks: AsyncIterable[bytes], content_type: str, max_octets: int, max_values: int | None = None
) -> Any:
    """Read a body as JSON; nothing, `null` and `undefined` are `{}`.

    Args:
        chunks: as they come.
        content_type: looked at only for a form, whose field `file` is read then.
        max_octets: how long it may be.
        max_values: how many values may be in it; None for any number.

    Raises:
        ApiError: 400, it is too long, no JSON, or nested too deeply.
    """
    octets = await read_octets(chunks, max_octets)
    is_form = content_type.lower().startswith("multipart/form-data")
    text = (_file_of(octets, content_type) if is_form else octets).removeprefix(_BOM).strip()
    if text in _NOTHING:
        return {}
    if max_values is not None and await _has_more_values(text, max_values):
        raise bad_request(f"more than {max_values} values")
    try:
        body = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise bad_request("not_json") from None
    is_too_deep = partial(_is_too_deep, body)
    if is_too_deep() if len(text) < _LONG_OCTETS else await trio.to_thread.run_sync(is_too_deep):
        raise bad_request(f"more than {MAX_DEPTH} lists and objects within each other")
    return body


async def read_form(chunks: AsyncIterable[bytes], max_octets: int) -> dict[str, str]:
    """Read the fields of a form as browsers send it; of several with one name the last.

    Raises:
        ApiError: 400, it is too long, or no text.
    """
    try:
        return dict(parse_qsl((await read_octets(chunks, max_octets)).decode(), keep_blank_values=True))
    except ValueError:
        raise bad_request("not a form") from None


async def read_octets(chunks: AsyncIterable[bytes], max_octets: int) -> bytes:
    """Read to the end. Raises ApiError 400 if that is too far."""
    octets = bytearray()
    async for chunk in chunks:
        octets += chunk
        if len(octets) > max_octets:
            raise bad_request(f"Payload size exceeds the limit of {max_octets} octets")
    return bytes(octets)


async def _has_more_values(text: bytes, limit: int) -> bool:
    """Whether JSON has more values than that; what is no JSON has about as many as it has commas and brackets."""
    if sum(map(text.count, _BEFORE_VALUES)) <= limit:  # those in strings as well, but that is quickly found out
        return False
    count = 0
    for number, token in enumerate(_TOKEN.finditer(text)):
        count += token[0] in _BEFORE_VALUES
        if count > limit:
            return True
        if number % _STEP == 0:
            await trio.lowlevel.checkpoint()
    return False


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
