"""The links of a broker: shovels, federation and traces, begun and ended as somebody wants them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import trio

from amqp_broker.broker import Broker
from amqp_broker.links.board import LinkKey
from amqp_broker.net.federation import Federated, FederationTask, Watch, federation_wanted
from amqp_broker.net.linking import Changed, run_tasks
from amqp_broker.net.shovels import ShovelTask, shovels_wanted
from amqp_broker.net.tracers import TraceTask


async def run_link_tasks(broker: Broker) -> None:
    """Run what parameters and policies ask for until cancelled."""
    parameters, topology, bindings, traces = Changed(), Changed(), Changed(), Changed()
    watch = Watch(broker, topology, bindings)

    def changed() -> None:
        parameters()
        topology()

    def wanted() -> Mapping[LinkKey, Federated]:
        watch.follow()
        return federation_wanted(broker)

    tasks: list[FederationTask] = []

    def federation(key: LinkKey, what: Federated) -> FederationTask:
        task = FederationTask(broker, key, what)
        tasks[:] = [each for each in tasks if broker.links.get(each.link.key) is each.link] + [task]
        return task

    async def tell_of_bindings() -> None:
        while True:
            await bindings.wait()
            for task in tasks:
                task.bindings_changed()

    broker.registry.on_parameters_changed = changed
    broker.traces.on_changed = traces
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(tell_of_bindings)
            nursery.start_soon(
                run_tasks, broker.links, partial(shovels_wanted, broker), partial(ShovelTask, broker), parameters
            )
            nursery.start_soon(run_tasks, broker.links, wanted, federation, topology)
            nursery.start_soon(
                run_tasks, broker.links, lambda: broker.traces.wanted, partial(TraceTask, broker), traces
            )
    finally:
        watch.end()
