from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest

import amqp_broker
from amqp_broker.storage import records
from amqp_broker.storage.records import Ranges, decode_ranges, encode_ranges, new_location


def ranges_of(ordinals: list[int]) -> Ranges:
    ranges = Ranges(ordinals[0])
    for ordinal in ordinals[1:]:
        ranges.add(ordinal)
    return ranges


def test_removals_in_order_are_one_range() -> None:
    removed = {7: ranges_of(list(range(5, 1005)))}
    assert not removed[7].others
    assert list(decode_ranges(encode_ranges(removed))) == [(7, 5, 1000)]


@pytest.mark.parametrize("seed", range(20))
def test_removals_in_any_order_are_all_there_once(seed: int) -> None:
    random = Random(seed)
    removed = {number: random.sample(range(300), random.randint(1, 300)) for number in (1, 2, 3)}
    decoded = list(decode_ranges(encode_ranges({number: ranges_of(some) for number, some in removed.items()})))
    for number, ordinals in removed.items():
        found = [first + index for segment, first, count in decoded if segment == number for index in range(count)]
        assert found == sorted(ordinals)
    assert not any(one[0] == other[0] and one[1] + one[2] == other[1] for one, other in pairwise(decoded))


def test_a_location_is_what_it_says() -> None:
    location = new_location(1, 2, 3, 4)
    assert location.cells == (1, 2, 3, 4)
    assert location == new_location(1, 2, 3, 4) != location.reference(1)
    assert location.reference(1).cells == (1, 3, 3, 4)


@pytest.mark.skipif(not amqp_broker.COMPILED, reason="there is only the plain function")
@pytest.mark.parametrize("seed", range(50))
def test_both_forms_append_the_same(seed: int) -> None:
    from amqp_broker.storage import _speedups

    random = Random(seed)
    numbers: list[Any] = [random.getrandbits(bits) for bits in (32, 62, 32, 62, 62, 62, 8)]
    octets = [random.randbytes(random.choice((0, 1, 17, 255, 5000))) for _ in range(3)]
    plain, compiled = bytearray(b"before"), bytearray(b"before")
    assert records.append_to_one(plain, *numbers, *octets) == _speedups.append_to_one(compiled, *numbers, *octets)
    assert plain == compiled
    assert records.is_valid(numbers[0], bytes(plain[6:]))
