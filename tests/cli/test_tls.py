"""TLS as users meet it: options, the ready line, a hangup, and mistakes."""

from __future__ import annotations

import signal
import socket
import ssl
from pathlib import Path

import pytest

from tests.cli.test_main import DEADLINE_S, finish, start, start_ready
from tests.support.certificates import Authority


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def options_for(authority: Authority) -> list[str]:
    certificate = authority.server()
    return ["--memory", "--tls-port", "0", "--tls-cert", str(certificate.chain), "--tls-key", str(certificate.key)]


def certificate_at(authority: Authority, port: int) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain,
        authority.client_context().wrap_socket(plain, server_hostname="localhost") as encrypted,
    ):
        shown = encrypted.getpeercert(binary_form=True)
        assert shown is not None
        return shown


def test_a_hangup_rereads_the_certificate(authority: Authority) -> None:
    process = start("--port", "0", *options_for(authority))
    assert process.stdout is not None
    assert process.stderr is not None
    ready, plain, encrypted, *_http = process.stdout.readline().split()
    try:
        assert ready == "ready"
        assert plain.startswith("amqp://127.0.0.1:")
        assert encrypted.startswith("amqps://127.0.0.1:")
        port = int(encrypted.rpartition(":")[2])
        before = certificate_at(authority, port)
        new = authority.server()
        process.send_signal(signal.SIGHUP)
        while "certificates loaded again" not in process.stderr.readline():
            assert process.poll() is None
        after = certificate_at(authority, port)
        assert after != before
        assert after == ssl.PEM_cert_to_DER_cert(new.chain.read_text())
        process.terminate()
        assert finish(process)[0] == 0
    finally:
        process.kill()
        process.communicate()


def test_a_hangup_without_tls_changes_nothing() -> None:
    process, _ = start_ready("--memory")
    process.send_signal(signal.SIGHUP)
    process.terminate()
    assert finish(process)[0] == 0


def test_a_key_that_does_not_fit_is_one_line_and_status_2(authority: Authority) -> None:
    options = options_for(authority)
    options[-1] = str(authority.server(name="other").key)
    status, output, errors = finish(start("--port", "0", *options))
    assert (status, output) == (2, "")
    assert errors.count("\n") == 1
    assert "does not belong to the certificate" in errors


@pytest.mark.parametrize("option", ["--tls-port=5671", "--tls-key=x", "--tls-ca=x"])
def test_tls_needs_a_certificate(option: str) -> None:
    status, _, errors = finish(start("--memory", option))
    assert status == 2
    assert errors == f"amqp-broker: {option.partition('=')[0]} needs a certificate; give one with --tls-cert\n"


def test_a_missing_certificate_for_management_is_one_line_and_status_2(tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"
    status, output, errors = finish(start("--memory", "--port", "0", "--set", f"management.ssl.certfile={missing}"))
    assert (status, output, errors) == (2, "", f"amqp-broker: TLS: can't read {missing}: No such file or directory\n")


def test_a_taken_port_of_management_over_tls_names_its_key(authority: Authority) -> None:
    certificate = authority.server()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        values = {"certfile": certificate.chain, "keyfile": certificate.key, "port": port}
        options = [word for key, value in values.items() for word in ("--set", f"management.ssl.{key}={value}")]
        status, _, errors = finish(start("--memory", "--port", "0", *options))
    assert status == 2
    assert f"127.0.0.1:{port} is in use by another process" in errors
    assert "management.ssl.port" in errors


def test_a_taken_tls_port_names_its_option(authority: Authority) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = options_for(authority)
        options[2] = str(taken.getsockname()[1])
        status, _, errors = finish(start("--port", "0", *options))
    assert status == 2
    assert f"127.0.0.1:{options[2]} is in use by another process" in errors
    assert "--tls-port" in errors
