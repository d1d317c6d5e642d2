"""What OpenSSL says of a connection, in the words of Erlang's `ssl` application, which RabbitMQ lists."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from ssl import cert_time_to_seconds
from typing import Final, cast

from amqp_broker.auth.users import Tls
from amqp_broker.net.certificate import Name, distinguished_name

_AEADS: Final = ("GCM", "CCM", "CCM8", "POLY1305")


def agreed(version: str, suite: str, certificate: Mapping[str, object]) -> Tls:
    """Describe a connection.

    Args:
        version: such as `TLSv1.3`.
        suite: in OpenSSL's words: `TLS_AES_256_GCM_SHA384` (1.3), `ECDHE-RSA-AES256-GCM-SHA384` (1.2).
        certificate: the client's, as `ssl.SSLObject.getpeercert` gives it.
    """
    key_exchange, cipher, digest = parts_of(suite)
    names = {"subject": "", "issuer": "", "validity": "", "serial_number": ""}
    if certificate:
        times = (_rfc_3339(str(certificate[key])) for key in ("notBefore", "notAfter"))
        names = {
            "subject": distinguished_name(cast(Name, certificate.get("subject", ()))),
            "issuer": distinguished_name(cast(Name, certificate.get("issuer", ()))),
            "validity": " - ".join(times),
            "serial_number": str(int(str(certificate.get("serialNumber", "0")), 16)),
        }
    return Tls(version.lower(), key_exchange, cipher, digest, **names)


def parts_of(suite: str) -> tuple[str, str, str]:
    """Take a name of OpenSSL's apart: key exchange, cipher and hash, which is `aead` where the cipher does without."""
    if suite.startswith("TLS_"):
        words = suite.split("_")[1:]
        return "any", "_".join(words[:-1]).lower(), "aead"
    words = suite.split("-")
    at = next((at for at, word in enumerate(words) if word.startswith(("AES", "CHACHA", "CAMELLIA", "ARIA"))), 0)
    key_exchange = "_".join(words[:at]).lower() or "rsa"
    block = words[at]
    sized = f"{block[:-3]}_{block[-3:]}" if block.endswith(("128", "256")) else block
    mode = [word for word in words[at + 1 :] if word in _AEADS]
    if mode:
        return key_exchange, f"{sized}_{mode[0]}".lower(), "aead"
    return key_exchange, f"{sized}_cbc".lower(), words[-1].lower()


def _rfc_3339(text: str) -> str:
    return datetime.fromtimestamp(cert_time_to_seconds(text), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
