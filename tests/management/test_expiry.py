"""When the listeners' certificates expire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trustme

from amqp_broker.config import Certificate, Config, HttpsPort, TlsOptions
from amqp_broker.management.expiry import expiries_in
from tests.management.support import api_of
from tests.support.client import World

EXPIRES = datetime(2045, 6, 7, 8, 9, 10, tzinfo=UTC)


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    path = tmp_path / "chain.pem"
    issued = trustme.CA().issue_cert("localhost", not_after=EXPIRES)
    path.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    return path


@pytest.mark.parametrize("expires", [EXPIRES, EXPIRES.replace(year=2060)])
def test_the_end_of_validity_is_read(tmp_path: Path, expires: datetime) -> None:
    path = tmp_path / "one.pem"
    trustme.CA().issue_cert("localhost", not_after=expires).cert_chain_pems[0].write_to_path(path)
    assert list(expiries_in(path)) == [expires]


@pytest.mark.parametrize("octets", [b"", b"0", b"0\x82\xff\xff", b"0\x03abc"])
def test_what_is_no_certificate(tmp_path: Path, octets: bytes) -> None:
    import ssl

    path = tmp_path / "bad.pem"
    path.write_text(ssl.DER_cert_to_PEM_cert(octets))
    with pytest.raises(ValueError, match="not a certificate"):
        list(expiries_in(path))


@pytest.mark.parametrize("is_of_http", [False, True])
async def test_the_check_looks_ahead(chain: Path, is_of_http: bool) -> None:
    tls = TlsOptions(certificates=(Certificate(chain=chain),))
    world = World(Config(management_tls=HttpsPort(tls=tls, port=0)) if is_of_http else Config(tls=tls))
    world.time = (EXPIRES - timedelta(days=10)).timestamp()
    async with api_of(world.broker) as api:
        assert (await api.get("health/checks/certificate-expiration/1/weeks")).json() == {"status": "ok"}
        failed = await api.get("health/checks/certificate-expiration/11/days")
        assert failed.status_code == 503
        assert failed.json()["expired"][0]["certfile_expires_on"] == EXPIRES.isoformat()
        assert (await api.get("health/checks/certificate-expiration/1/ages")).status_code == 400
        await trio.Path(chain).unlink()
        assert (await api.get("health/checks/certificate-expiration/1/weeks")).status_code == 503
