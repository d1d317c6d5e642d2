"""The kinds of values that keys have: how they are written, and what becomes of them in `Config`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

Parse = Callable[[str], object]
"""Text to value; raises ValueError when it is not of that kind."""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, frozenset | tuple):
        return ", ".join(sorted(value) if isinstance(value, frozenset) else map(str, value)) or "none"
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={value[name]}" for name in sorted(value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


class Kind(NamedTuple):
    """One kind of value.

    Attributes:
        expected: completes the sentence "expected ...".
        show: the way back, from value to text.
        none: the word for None.
    """

    expected: str
    parse: Parse
    show: Callable[[Any], str] = _shown
    none: str = "(not set)"


_UNITS: Final[dict[str, int]] = {
    "": 1,
    **{unit: 1000**power for power, unit in enumerate("kmgtp", 1)},
    **{f"{unit}b": 1000**power for power, unit in enumerate("kmgtp", 1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("kmgtp", 1)},
    **{f"{unit}ib": 1024**power for power, unit in enumerate("kmgtp", 1)},
}
_SIZE: Final = re.compile(r"([0-9]{1,20})\s*([A-Za-z]*)")

LARGEST_OCTETS: Final = 2**63 - 1


def _octets(lowest: int, *also: int) -> Parse:
    def parse(text: str) -> int:
        match = _SIZE.fullmatch(text)
        unit = None if match is None else _UNITS.get(match[2].lower())
        if match is None or unit is None:
            raise ValueError(text)
        octets = int(match[1]) * unit
        if not (lowest <= octets <= LARGEST_OCTETS or octets in also):
            raise ValueError(text)
        return octets

    return parse


def _integer(lowest: int, highest: int = 2**63 - 1) -> Parse:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,20}", text):
            raise ValueError(text)
        value = int(text)
        if not lowest <= value <= highest:
            raise ValueError(text)
        return value

    return parse


def _seconds_of_ms(text: str) -> float:
    value = _integer(0)(text)
    assert isinstance(value, int)
    return value / 1000


def _decimal(lowest: float, highest: float) -> Parse:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) or not lowest <= float(text) <= highest:
            raise ValueError(text)
        return float(text)

    return parse


def _flag(text: str) -> bool:
    return {"true": True, "on": True, "false": False, "off": False}[text.lower()]


def _unlimited(parse: Parse, *words: str) -> Parse:
    """A kind that also knows a word for no limit, or for none at all."""
    return lambda text: None if text.lower() in words else parse(text)


class Address(NamedTuple):
    """Where to listen: a Unix-domain socket, or a port; host None is the host of everything else."""

    host: str | None
    port: int
    path: Path | None = None


def _address(text: str) -> Address:
    """`5672`, `127.0.0.1:5672`, `[::1]:5672`, `:::5672`, `local:/run/amqp.sock`."""
    if text.startswith("local:/"):
        return Address(None, 0, Path(text.removeprefix("local:")))
    host, _, port_text = text.rpartition(":")
    port = _integer(0, 65535)(port_text)
    assert isinstance(port, int)
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    return Address(host or None, port)


def _mode(text: str) -> int:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError(text)
    return int(text, 8)


def _backend(text: str) -> str:
    name = text.removeprefix("rabbit_auth_backend_")
    if name not in ("internal", "http", "oauth2"):
        raise ValueError(text)
    return name


def _version(text: str) -> str:
    return {"tlsv1.2": "1.2", "tlsv1.3": "1.3"}[text]


def _networks(text: str) -> tuple[str, ...]:
    import ipaddress  # only where somebody names networks

    return tuple(str(ipaddress.ip_network(word, strict=False)) for word in _words(text))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[,\s]+", text) if word)


def _https_url(text: str) -> str:
    if not re.fullmatch(r"https://[^\s/@]+(/[!-~]*)?", text):
        raise ValueError(text)
    return text


def _schedule(text: str) -> str:
    from amqp_broker.log_rotation import Schedule  # only where somebody sets one

    Schedule.parse(text)
    return text


def _overwrites(text: str) -> str:
    return "overwrite" if _flag(text) else "keep"


def _pattern(text: str) -> str:
    from amqp_broker.auth.patterns import Pattern  # only where somebody gives one

    return Pattern(text).text


def choice(*words: str) -> Kind:
    """Make the kind that is one of some words."""

    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return Kind(f"one of {', '.join(words)}", parse)


TEXT: Final = Kind("a text", str)
OPTIONAL_TEXT: Final = Kind("a text, or none", _unlimited(str, "none"), none="none")
PATH: Final = Kind("a path", Path)
OPTIONAL_PATH: Final = Kind("a path, or none", _unlimited(Path, "none"), none="none")
FLAG: Final = Kind("true or false", _flag)
OVERWRITES: Final = Kind("true or false", _overwrites, lambda word: _shown(word == "overwrite"))
HTTPS_URL: Final = Kind("a URL with https, without user and password", _https_url)
SCHEDULE: Final = Kind(
    "a time such as $H30, $D0, $W5D16 or $M1D0, or false", _unlimited(_schedule, "false"), none="false"
)
WORDS: Final = Kind("words, separated by commas", _words)
COUNT: Final = Kind("a whole number, 0 or more", _integer(0))
POSITIVE: Final = Kind("a whole number, 1 or more", _integer(1))
LIMIT: Final = Kind("a whole number, 0 or more, or infinity", _unlimited(_integer(0), "infinity"), none="infinity")
CHANNELS: Final = Kind("a whole number from 0 to 65535", _integer(0, 65535))
OPTIONAL_PORT: Final = Kind("a port, 0 to 65535, or none", _unlimited(_integer(0, 65535), "none"), none="none")
PORT_OR_OFF: Final = Kind("a port, 0 to 65535, or off", _unlimited(_integer(0, 65535), "off"), none="off")
ADDRESS: Final = Kind("a port, host:port or local:/path", _address)
MODE: Final = Kind("a file mode such as 0600", _mode, lambda mode: f"{mode:04o}")
BACKEND: Final = Kind("internal, http or oauth2", _backend)
MECHANISM: Final = choice("PLAIN", "AMQPLAIN", "ANONYMOUS", "EXTERNAL")
TLS_VERSION: Final = Kind("tlsv1.2 or tlsv1.3", _version)
NETWORKS: Final = Kind("networks such as 10.0.0.0/8, separated by commas", _networks)
OCTETS: Final = Kind("a size such as 4096, 64KiB, 50MB or 2GiB", _octets(0))
POSITIVE_OCTETS: Final = Kind("a size such as 4096, 64KiB, 50MB or 2GiB, 1 or more", _octets(1))
FRAME_OCTETS: Final = Kind("a size of 4096 or more, or 0 for no limit", _octets(4096, 0))
MILLISECONDS: Final = Kind("a time in milliseconds", _seconds_of_ms, lambda seconds: str(round(seconds * 1000)))
SECONDS: Final = Kind("a time in seconds", _decimal(0, 1e9))
WHOLE_SECONDS: Final = Kind("a time in whole seconds, at most 65535", _integer(0, 65535))
SHARE: Final = Kind("a share of the machine's memory such as 0.6", _decimal(0, 1))
RATIO: Final = Kind("a share of the memory watermark such as 0.5", _decimal(0, 1))
FACTOR: Final = Kind("a factor of the machine's memory such as 1.5", _decimal(0, 1000))
PATTERN: Final = Kind("a regular expression", _pattern)
LEVEL: Final = choice("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency", "none")
FILE_OR_FALSE: Final = Kind("a file name, or false", _unlimited(str, "false"), none="false")
