"""Definitions that are loaded when the broker starts (rule 7.14)."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from amqp_broker.administration import users
from amqp_broker.administration.fields import InvalidDefinitionsError
from amqp_broker.administration.loading import load_definitions
from amqp_broker.broker import Broker
from amqp_broker.config import Config, HttpsDefinitions
from amqp_broker.server import Server
from tests.support.certificates import Authority


def test_files_of_a_directory_are_loaded_in_the_order_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(json.dumps({"users": [{"name": "u", "password": "second"}]}))
    (tmp_path / "a.json").write_text(json.dumps({"users": [{"name": "u", "password": "first"}]}))
    (tmp_path / "c.txt").write_text("no JSON")
    broker = Server(Config(load_definitions=tmp_path)).broker
    assert users.authenticate_user(broker, "u", "second")


class Site:
    """A web server with definitions; `/away` leads to plain HTTP."""

    def __init__(self, authority: Authority) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pages = {"/d": 200, "/away": 302, "/there": 302}
                self.send_response(pages.get(self.path, 404))
                self.send_header("Location", "http://localhost:1/" if self.path == "/away" else "/d")
                self.end_headers()
                self.wfile.write(b'{"users": [{"name": "u", "password": "pw"}]}')

            def log_message(self, *_: object) -> None:
                """Not to stderr."""

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate = authority.server()
        context.load_cert_chain(certificate.chain, certificate.key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def site(authority: Authority) -> Iterator[Site]:
    site = Site(authority)
    yield site
    site.close()


@pytest.mark.parametrize("path", ["/d", "/there"])
def test_definitions_of_a_web_server_are_loaded(path: str, site: Site, authority: Authority) -> None:
    source = HttpsDefinitions(url=site.url + path, ca=authority.ca_file)
    broker = Server(Config(load_definitions=source)).broker
    assert users.authenticate_user(broker, "u", "pw")
    assert not broker.vhosts


def test_a_web_server_is_believed_only_with_its_certificate(site: Site) -> None:
    with pytest.raises(
        InvalidDefinitionsError, match=r"https://localhost:\d+/d: no answer: .*certificate verify failed"
    ):
        Server(Config(load_definitions=HttpsDefinitions(url=f"{site.url}/d")))
    broker = Server(Config(load_definitions=HttpsDefinitions(url=f"{site.url}/d", verify_peer=False))).broker
    assert users.authenticate_user(broker, "u", "pw")


@pytest.mark.parametrize(
    ("path", "text"), [("/none", "the server answers 404"), ("/away", "no answer: .*unknown url type: http")]
)
def test_what_a_web_server_does_not_have(path: str, text: str, site: Site, authority: Authority) -> None:
    source = HttpsDefinitions(url=site.url + path, ca=authority.ca_file)
    with pytest.raises(InvalidDefinitionsError, match=f"{path}: {text}"):
        Server(Config(load_definitions=source))


@pytest.mark.rule("7.14")
def test_with_definitions_nothing_else_is_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "definitions.json"
    file.write_text("{}")
    with caplog.at_level(logging.WARNING):
        broker = Server(Config(load_definitions=file)).broker
    assert (list(broker.users), broker.vhosts) == ([], {})
    assert "nobody can log in" in caplog.text


@pytest.mark.parametrize("content", [None, '{"users": [{}]}'])
def test_what_can_not_be_loaded_is_named(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InvalidDefinitionsError, match=r"definitions\.json: "):
        Server(Config(load_definitions=file))


def test_a_file_that_was_loaded_before_is_loaded_again_unless_told_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text('{"vhosts": [{"name": "v"}]}')
    broker = Broker()
    for skips_unchanged, is_there in ((False, True), (True, True), (True, False), (False, True)):
        broker.vhosts.pop("v", None)
        load_definitions(broker, file, skips_unchanged=skips_unchanged)
        assert ("v" in broker.vhosts) == is_there
    file.write_text('{"vhosts": [{"name": "v"}, {"name": "w"}]}')
    load_definitions(broker, file, skips_unchanged=True)
    assert "w" in broker.vhosts
