"""The files of the web page, as a browser asks for them."""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path

import pytest

from amqp_broker.config import Config
from amqp_broker.management.static import DIRECTORY, MEDIA_TYPES
from tests.management.support import api_of
from tests.support.client import World

FILES = sorted(path for path in DIRECTORY.rglob("*") if path.is_file())


async def test_the_page_runs_only_what_comes_from_here() -> None:
    async with api_of(World().broker, auth=None) as client:
        page = await client.get("http://broker/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        policy = page.headers["content-security-policy"].split("; ")
        assert policy[:4] == ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"]
        assert "frame-ancestors 'none'" in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        assert (await client.get("http://broker/index.html")).text == page.text


async def test_what_has_not_changed_is_not_sent_again() -> None:
    async with api_of(World().broker, auth=None) as client:
        first = await client.get("http://broker/app.js", headers={"accept-encoding": "gzip"})
        assert (first.headers["content-encoding"], first.headers["cache-control"]) == ("gzip", "no-cache")
        plain = await client.get("http://broker/app.js", headers={"accept-encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == first.content == (DIRECTORY / "app.js").read_bytes()
        again = await client.get("http://broker/app.js", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_the_api_is_described_for_people() -> None:
    async with api_of(World().broker, auth=None) as client:
        page = await client.get("http://broker/api/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "<code>queues/{vhost}/{name}</code>" in page.text
        assert (await client.get("http://broker/api/index.html")).text == page.text
        assert (await client.get("http://broker/api")).headers["location"] == "/api/"


async def test_rabbitmqadmin_is_there_to_download() -> None:
    async with api_of(World(Config(management_path_prefix="/rabbit")).broker, auth=None) as client:
        page = await client.get("http://broker/rabbit/cli", follow_redirects=True)
        assert 'href="rabbitmqadmin"' in page.text
        script = (await client.get("http://broker/rabbit/cli/rabbitmqadmin")).text
        assert script.startswith("#!/usr/bin/env python3\n")
        imported = re.findall(r"^(?:from|import) (\w+)", script, re.MULTILINE)
        assert set(imported) - {"__future__"} <= sys.stdlib_module_names


@pytest.mark.parametrize("path", ["nothing.js", "../static.py", "%2e%2e/static.py", "views", "views/"])
async def test_there_is_nothing_but_the_page(path: str) -> None:
    async with api_of(World().broker, auth=None) as client:
        assert (await client.get(f"http://broker/{path}")).status_code == 404


async def test_pages_are_only_read() -> None:
    async with api_of(World().broker, auth=None) as client:
        assert (await client.post("http://broker/")).status_code == 405
        head = await client.head("http://broker/", headers={"accept-encoding": "identity"})
        assert (head.status_code, head.content) == (200, b"")
        assert int(head.headers["content-length"]) == (DIRECTORY / "index.html").stat().st_size


def test_the_page_is_small_and_every_file_has_a_type() -> None:
    """What counts is what travels, which is compressed; RabbitMQ's page is 2 MB."""
    assert sum(len(gzip.compress(path.read_bytes())) for path in FILES) < 40_000
    assert sum(path.stat().st_size for path in FILES) < 120_000
    assert {path.suffix for path in FILES} == set(MEDIA_TYPES)


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_nothing_in_the_page_makes_markup_of_text_or_asks_elsewhere(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|new Function", text)
    addresses = set(re.findall(r"https?://[^\"'\s]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<style|<script(?! type=\"module\" src=)| style=| on\w+=\"", text)
