import re

import pytest

from amqp_broker.cluster.log import vhost_key


def test_a_plain_name_is_its_own_key() -> None:
    assert vhost_key("orders") == "v-orders"


@pytest.mark.parametrize("name", ["/", "a.b", "a b", "a" * 65, "größe", "\udcff", "h-1*"])
def test_another_name_has_a_key_that_every_engine_takes(name: str) -> None:
    assert re.fullmatch(r"h-[0-9a-f]{32}", vhost_key(name))


def test_no_two_names_have_the_same_key() -> None:
    names = ["/", "//", "h-1", "v-h-1", vhost_key("/"), "A", "a"]
    assert len({vhost_key(name) for name in names}) == len(names)
