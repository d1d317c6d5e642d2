"""The links of a broker: shovels and federation, begun and ended as their parameters come and go."""

from __future__ import annotations

import trio

from amqp_broker.broker import Broker
from amqp_broker.net.linking import Changed, run_tasks
from amqp_broker.net.shovels import ShovelTask, shovels_wanted


async def run_links(broker: Broker) -> None:
    """Run what parameters ask for until cancelled."""
    changed = Changed()
    broker.registry.on_parameters_changed = changed
    async with trio.open_nursery() as nursery:
        nursery.start_soon(
            run_tasks,
            broker.links,
            lambda: shovels_wanted(broker),
            lambda key, value: ShovelTask(broker, key, value),
            changed,
        )
