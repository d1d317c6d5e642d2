"""The API's description of itself, and requests made up from it."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final

import httpx
import pytest
import schemathesis
import trio
from hypothesis import HealthCheck, given, settings

from amqp_broker.management.api import ENDPOINTS
from amqp_broker.management.openapi import description_of
from tests.management.support import GUEST, api_of
from tests.support.client import World

DESCRIPTION: Final = description_of(ENDPOINTS)
SCHEMA: Final = schemathesis.openapi.from_dict(DESCRIPTION)
OPERATIONS: Final[dict[str, Any]] = {
    found.ok().label: found.ok()  # type: ignore[union-attr]
    for found in SCHEMA.get_all_operations()
}

EXAMPLES: Final = 3


async def test_it_is_there_without_a_login() -> None:
    async with api_of(World().broker, None) as api:
        description = (await api.get("openapi.json")).json()
    assert description == DESCRIPTION


def test_every_path_names_its_parameters() -> None:
    for path, operations in DESCRIPTION["paths"].items():
        for operation in operations.values():
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))


async def send(case: Any) -> httpx.Response:
    world = World()
    channel = world.channel()
    channel.publish_all(channel.queue("q"), b"1")
    async with api_of(world.broker, None) as api:
        request = case.as_transport_kwargs(base_url="http://broker/api")
        body = {key: request[key] for key in ("json", "data", "files", "params") if request.get(key) is not None}
        if isinstance(body.get("data"), bytes | str):
            body["content"] = body.pop("data")
        return await api.request(request["method"], request["url"], auth=GUEST, **body)


@pytest.mark.parametrize("name", OPERATIONS)
def test_what_is_made_up_gets_a_declared_answer(name: str) -> None:
    operation = OPERATIONS[name]
    declared = {int(status) for status in operation.definition.raw["responses"]}

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(operation.as_strategy())
    def check(case: Any) -> None:
        answer = trio.run(partial(send, case))
        assert answer.status_code in declared, (case.formatted_path, answer.status_code, answer.text)

    check()
