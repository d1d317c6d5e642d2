"""The links of a broker, from when the first one is wanted: most have none, and start without what links need."""

from __future__ import annotations

import trio

from amqp_broker.broker import Broker


async def run_links(broker: Broker) -> None:
    """Run what parameters and policies ask for until cancelled."""
    while not _may_have_links(broker):
        changed = trio.Event()
        broker.registry.on_parameters_changed = broker.traces.on_changed = changed.set
        await changed.wait()
    from amqp_broker.net.link_tasks import run_link_tasks

    await run_link_tasks(broker)


def _may_have_links(broker: Broker) -> bool:
    """Whether there are traces, or parameters of a vhost: what shovels and upstreams are."""
    return bool(broker.traces.wanted) or any(vhost is not None for vhost, _, _ in broker.registry.parameters)
