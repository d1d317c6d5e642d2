"""What is said of a TLS connection, in the words of Erlang's application `ssl`."""

from __future__ import annotations

import pytest

from amqp_broker.net.suites import agreed, parts_of


@pytest.mark.parametrize(
    ("suite", "parts"),
    [
        ("TLS_AES_256_GCM_SHA384", ("any", "aes_256_gcm", "aead")),
        ("TLS_CHACHA20_POLY1305_SHA256", ("any", "chacha20_poly1305", "aead")),
        ("ECDHE-RSA-AES256-GCM-SHA384", ("ecdhe_rsa", "aes_256_gcm", "aead")),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", ("ecdhe_ecdsa", "chacha20_poly1305", "aead")),
        ("DHE-RSA-AES128-SHA256", ("dhe_rsa", "aes_128_cbc", "sha256")),
        ("AES128-GCM-SHA256", ("rsa", "aes_128_gcm", "aead")),
        ("unheard-of", ("rsa", "unheard_cbc", "of")),
    ],
)
def test_suites(suite: str, parts: tuple[str, str, str]) -> None:
    assert parts_of(suite) == parts


def test_a_certificate() -> None:
    certificate = {
        "subject": ((("organizationName", "client"),), (("commonName", "app"),)),
        "issuer": ((("commonName", "CA"),),),
        "notBefore": "Jan  5 09:34:43 2026 GMT",
        "notAfter": "Jan  5 09:34:43 2027 GMT",
        "serialNumber": "0A",
    }
    tls = agreed("TLSv1.3", "TLS_AES_256_GCM_SHA384", certificate)
    assert (tls.protocol, tls.subject, tls.issuer, tls.serial_number) == ("tlsv1.3", "CN=app,O=client", "CN=CA", "10")
    assert tls.validity == "2026-01-05T09:34:43Z - 2027-01-05T09:34:43Z"
    assert agreed("TLSv1.2", "AES128-GCM-SHA256", {}).subject == ""
