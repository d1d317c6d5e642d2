"""An object of a JSON file, read field by field, with the path to what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from amqp_broker.administration.errors import AdministrationError
from amqp_broker.administration.values import as_table
from amqp_broker.policies.settings import erlang
from amqp_broker.registry import Json
from amqp_codec import Table

_WORDS: Final = {"true": True, "false": False}


class InvalidDefinitionsError(AdministrationError):
    """A file that can't be imported.

    Attributes:
        path: where in it, as JSON path: `$.queues[3].name`.
        reason: what is wrong there.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class Fields:
    """One JSON object.

    Attributes:
        value: the object.
        path: where it stands.

    Raises:
        InvalidDefinitionsError: it is no object, or, from all methods, a field is missing or has another type.
    """

    def __init__(self, value: Json, path: str) -> None:
        if not isinstance(value, dict):
            raise InvalidDefinitionsError(path, f"should be an object, is {_shown(value)}")
        self.value = value
        self.path = path

    def __contains__(self, key: str) -> bool:
        return self.value.get(key) is not None

    def __getitem__(self, key: str) -> Json:
        if key not in self.value:
            raise InvalidDefinitionsError(self.path, f"{key} is missing")
        return self.value[key]

    def text(self, key: str, default: str | None = None) -> str:
        """Read a text; without a default it has to be there."""
        value = self.value.get(key, default)
        if value is None:
            value = default
        if not isinstance(value, str):
            self[key]
            raise self._wrong(key, "text")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Read true or false, which some tools write as text."""
        value = self.value.get(key, default)
        if isinstance(value, str):
            value = _WORDS.get(value, value)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return value

    def words(self, key: str) -> list[str]:
        """Read a list of texts, or one text with commas in it."""
        value = self.value.get(key) or []
        if isinstance(value, str):
            value = [*value.split(",")]
        words = [word.strip() for word in value if isinstance(word, str)] if isinstance(value, list) else []
        if not isinstance(value, list) or len(words) != len(value):
            raise self._wrong(key, "a list of texts")
        return [word for word in words if word]

    def table(self, key: str) -> dict[str, Json]:
        """Read an object; RabbitMQ 3 writes some as a list of pairs, empty ones among them."""
        value = as_object(self.value.get(key) or {})
        if not isinstance(value, dict):
            raise self._wrong(key, "an object")
        return value

    def arguments(self) -> Table:
        """Read `arguments` as a field table."""
        try:
            return as_table(self.table("arguments"))
        except ValueError as error:
            raise InvalidDefinitionsError(f"{self.path}.arguments", str(error)) from None

    def items(self, key: str) -> Iterator[Fields]:
        """Read a list of objects; it may be missing."""
        value = self.value.get(key) or []
        if not isinstance(value, list):
            raise self._wrong(key, "a list")
        for index, item in enumerate(value):
            yield Fields(item, f"{self.path}.{key}[{index}]")

    def _wrong(self, key: str, expected: str) -> InvalidDefinitionsError:
        return InvalidDefinitionsError(f"{self.path}.{key}", f"should be {expected}, is {_shown(self.value[key])}")


def as_object(value: Json) -> Json:
    """Read a list of pairs as the object it stands for; anything else stays as it is."""
    if not isinstance(value, list):
        return value
    pairs = [(each[0], each[1]) for each in value if isinstance(each, list) and len(each) == 2]
    fields: dict[str, Json] = {name: each for name, each in pairs if isinstance(name, str)}
    return fields if len(fields) == len(value) else value


def _shown(value: Json) -> str:
    """A value, cut short where it is long."""
    text = erlang(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
