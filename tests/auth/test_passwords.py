"""Password hashes in RabbitMQ's form (rule 8.16)."""

from __future__ import annotations

import hashlib
from base64 import b64encode

import pytest

from amqp_broker.auth.passwords import HashAlgorithm, InvalidHashError, PasswordHash

KNOWN = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


@pytest.mark.rule("8.16")
def test_a_hash_that_rabbitmq_made_fits_its_password() -> None:
    known = PasswordHash.from_text(KNOWN)
    assert known.octets[:4] == bytes.fromhex("908DC60A")
    assert known.fits(b"test12")
    assert not known.fits(b"test1")
    assert known.text == KNOWN


@pytest.mark.rule("8.16")
@pytest.mark.parametrize("algorithm", list(HashAlgorithm))
def test_a_hash_fits_its_password_alone_and_differs_every_time(algorithm: HashAlgorithm) -> None:
    first, second = PasswordHash.of("pässword".encode(), algorithm), PasswordHash.of("pässword".encode(), algorithm)
    assert first.octets != second.octets
    for each in (first, PasswordHash.from_text(first.text, algorithm)):
        assert each.fits("pässword".encode())
        assert not each.fits(b"password")
        assert not each.fits(b"")


@pytest.mark.rule("1.13")
def test_a_blank_password_fits_nothing_not_even_its_own_hash() -> None:
    assert PasswordHash.of(b"") == PasswordHash(b"")
    assert not PasswordHash(b"").fits(b"")
    blank = PasswordHash.of(b"x").octets[:4]
    assert not PasswordHash(blank + hashlib.sha256(blank).digest()).fits(b"")


@pytest.mark.rule("8.16")
@pytest.mark.parametrize("text", ["?", "AAAA", b64encode(bytes(68)).decode(), KNOWN[:-1]])
def test_what_is_no_hash_is_refused(text: str) -> None:
    with pytest.raises(InvalidHashError):
        PasswordHash.from_text(text)


def test_a_hash_is_not_shown() -> None:
    assert KNOWN not in repr(PasswordHash.from_text(KNOWN))
