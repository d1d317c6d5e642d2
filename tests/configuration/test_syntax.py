"""The form of rabbitmq.conf, and what is said of a file that has another."""

from __future__ import annotations

from pathlib import Path

import pytest

from amqp_broker.configuration.errors import ConfigError
from amqp_broker.configuration.syntax import LARGEST_FILE_OCTETS, Setting, parse, read_settings


def values(text: str, **variables: str) -> dict[str, str]:
    return {setting.key: setting.text for setting in parse(text, "f", variables)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k = v", "v"),
        ("k=v", "v"),
        ("  k  =  v w  ", "v w"),
        ("k = v # comment", "v"),
        ("k = v\r", "v"),
        ("k = 'a#b'", "a#b"),
        ("k = 'a#b' # comment", "a#b"),
        ("k = ' a '", " a "),
        ("k = a=b", "a=b"),
        ("k = $(HOME)/x", "/root/x"),
        ("k = '$(HOME)'", "$(HOME)"),
        ("k =", ""),
        ("k = 1\nk = 2", "2"),
    ],
)
def test_value(text: str, value: str) -> None:
    assert values(text, HOME="/root") == {"k": value}


def test_comments_and_empty_lines_are_nothing() -> None:
    assert values("# k = v\n\n   \n  # x") == {}


def test_a_reference_may_name_a_key_above() -> None:
    assert values("a.b = 5\nc = $(a.b)6")["c"] == "56"


def test_a_setting_knows_its_line() -> None:
    assert list(parse("\n# c\nk = v", "/etc/f", {})) == [Setting("k", "v", "/etc/f:3")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("k", "f:1: expected 'key = value', found 'k'"),
        ("= v", "f:1: expected 'key = value', found '='"),
        ("a b = v", "f:1: expected 'key = value', found 'a'"),
        ("\nk = 'v", "f:2: expected the value to end with the quote"),
        ("k = 'v' w", "f:1: expected the value to end with the quote"),
        ("k = $(NOWHERE)", "f:1: $(NOWHERE) stands for nothing"),
        ("[{rabbit, [{default_pass, secret}]}].", "f:1: expected 'key = value', found '[{rabbit,'"),
    ],
)
def test_another_form_is_an_error_with_its_line(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        values(text)
    assert str(caught.value).startswith(says)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        ("k = é".encode("latin-1"), "f.conf:1: octet 0xe9 is no UTF-8"),
        (b"a = 1\nk = \xff", "f.conf:2: octet 0xff is no UTF-8"),
        ("k = v".encode("utf-16"), "f.conf:1: octet 0xff is no UTF-8"),
        (b"a = 1\nk = \0", "f.conf:2: a NUL"),
        (b"#" * (LARGEST_FILE_OCTETS + 1), "f.conf: more than 4 MiB"),
    ],
)
def test_a_file_that_is_no_text(tmp_path: Path, octets: bytes, says: str) -> None:
    path = tmp_path / "f.conf"
    path.write_bytes(octets)
    with pytest.raises(ConfigError) as caught:
        list(read_settings(path, {}))
    assert says in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "f.conf"
    path.write_bytes("k = é".encode("utf-8-sig"))
    assert [setting.text for setting in read_settings(path, {})] == ["é"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"f\.conf: can't be read: No such file"):
        list(read_settings(tmp_path / "f.conf", {}))
