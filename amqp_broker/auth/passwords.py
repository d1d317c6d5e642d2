"""Password hashes in RabbitMQ's form: base64 of salt and salted hash (rule 8.16).

One round of SHA-256 takes about a microsecond, so nothing has to leave the event loop. A slower hash would withstand
guessing better, but could not be taken to RabbitMQ and back.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from enum import StrEnum
from typing import Final

import attrs

SALT_OCTETS: Final = 4


class HashAlgorithm(StrEnum):
    """How a password was hashed, by the name definitions have for it."""

    SHA256 = "rabbit_password_hashing_sha256"
    SHA512 = "rabbit_password_hashing_sha512"
    MD5 = "rabbit_password_hashing_md5"
    """Only to let in those whose hash is older than RabbitMQ 3.6."""


_CONSTRUCTORS: Final = {
    HashAlgorithm.SHA256: hashlib.sha256,
    HashAlgorithm.SHA512: hashlib.sha512,
    HashAlgorithm.MD5: hashlib.md5,
}


class InvalidHashError(ValueError):
    """Not the base64 form of a hash of its algorithm."""


@attrs.frozen
class PasswordHash:
    """What is kept of a password.

    Attributes:
        octets: the salt and the hash; empty lets nobody in.
    """

    octets: bytes = attrs.field(default=b"", repr=False)
    algorithm: HashAlgorithm = HashAlgorithm.SHA256

    @classmethod
    def of(cls, password: bytes, algorithm: HashAlgorithm = HashAlgorithm.SHA256) -> PasswordHash:
        """Hash a password with a new salt; a blank one gives the hash that lets nobody in (rule 1.13)."""
        if not password:
            return cls(b"", algorithm)
        salt = secrets.token_bytes(SALT_OCTETS)
        return cls(salt + _digest(algorithm, salt, password), algorithm)

    @classmethod
    def from_text(cls, text: str, algorithm: HashAlgorithm = HashAlgorithm.SHA256) -> PasswordHash:
        """Read the base64 form; the empty text is the hash that lets nobody in.

        Raises:
            InvalidHashError: not base64, or not as long as such a hash is.
        """
        try:
            octets = b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise InvalidHashError("not base64") from None
        expected = SALT_OCTETS + _CONSTRUCTORS[algorithm]().digest_size
        if octets and len(octets) != expected:
            raise InvalidHashError(f"{len(octets)} octets, a hash of {algorithm} has {expected}")
        return cls(octets, algorithm)

    @property
    def text(self) -> str:
        """The base64 form."""
        return b64encode(self.octets).decode()

    def fits(self, password: bytes) -> bool:
        """Check a password, in a time that does not depend on how much of it is right."""
        digest = _digest(self.algorithm, self.octets[:SALT_OCTETS], password)
        return hmac.compare_digest(self.octets[SALT_OCTETS:], digest) and bool(password)


def _digest(algorithm: HashAlgorithm, salt: bytes, password: bytes) -> bytes:
    return _CONSTRUCTORS[algorithm](salt + password, usedforsecurity=False).digest()


NOBODYS: Final = PasswordHash.of(secrets.token_bytes(16))
"""What the password of a user who does not exist is compared with, so that the answer takes as long."""
