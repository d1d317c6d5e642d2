"""An operator who does what comes to mind: users, vhosts, permissions, policies, and topology in those vhosts."""

from __future__ import annotations

from random import Random
from typing import Final

from amqp_broker.administration import AdministrationError, parameters, permissions, users, vhosts
from amqp_broker.broker import Broker
from amqp_broker.errors import AMQPError
from amqp_broker.registry import Json

USERS = ("ann", "bob", "guest")
VHOSTS = ("v0", "v1")
"""Clients are elsewhere, so that no policy and no deletion concerns what they expect."""

NAMES = ("n0", "n1")

SHOVEL: Final = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}


def administer(broker: Broker, random: Random) -> None:
    """Change something; what can't be changed is left."""
    user, vhost, name = random.choice(USERS[:2]), random.choice(VHOSTS), random.choice(NAMES)
    number = random.randint(1, 9)
    actions = (
        lambda: users.put_user(broker, user, f"password {number}", ["management"] * (number % 3)),
        lambda: users.set_user_limits(broker, user, {"max-channels": number}),
        lambda: users.delete_user(broker, user),
        lambda: vhosts.add_vhost(broker, vhost, description=f"number {number}"),
        lambda: vhosts.add_vhost(broker, vhost, tags=[name], default_queue_type="quorum"),
        lambda: vhosts.set_vhost_limits(broker, vhost, {"max-queues": number}),
        lambda: vhosts.delete_vhost(broker, vhost),
        lambda: permissions.set_permissions(broker, random.choice(USERS), vhost, f"^{number}", "", ".*"),
        lambda: permissions.clear_permissions(broker, user, vhost),
        lambda: permissions.set_topic_permissions(broker, user, vhost, name, f"^{number}", ""),
        lambda: permissions.clear_topic_permissions(broker, user, vhost),
        lambda: parameters.set_policy(broker, vhost, name, "", {"max-length": number}, is_operators=number > 5),
        lambda: parameters.clear_policy(broker, vhost, name, is_operators=number > 5),
        lambda: parameters.set_parameter(broker, vhost, "shovel", name, {**SHOVEL, "src-prefetch-count": number}),
        lambda: parameters.clear_parameter(broker, vhost, "shovel", name),
        lambda: parameters.set_global_parameter(broker, name, [number]),
        lambda: _declare(broker, vhost, name),
        lambda: _declare(broker, vhost, name),
    )
    try:
        random.choice(actions)()
    except AdministrationError:
        return
    except AMQPError as error:  # the default type of queues is another by now
        if "inequivalent arg 'x-queue-type'" not in str(error):
            raise


def rule(broker: Broker, random: Random, queue: str) -> None:
    """Give the clients' vhost another policy, or take one away; it is about this queue only."""
    name = random.choice(NAMES)
    definitions: tuple[dict[str, Json], ...] = (
        {"max-length": 3},
        {"message-ttl": 500},
        {"dead-letter-exchange": "e0", "delivery-limit": 2},
        {"expires": 9000},
    )
    definition = random.choice(definitions)
    try:
        if random.random() < 0.7:
            parameters.set_policy(broker, "/", name, f"^{queue}$", definition, priority=random.randrange(3))
        else:
            parameters.clear_policy(broker, "/", name)
    except AdministrationError:
        return


def _declare(broker: Broker, vhost_name: str, name: str) -> None:
    vhost = vhosts.find_vhost(broker, vhost_name)
    queue = vhost.declare_queue(
        name,
        durable=True,
        exclusive_owner=None,
        auto_delete=False,
        arguments={},
        connection=None,
        authorize=_anything_goes,
    )
    exchange = vhost.declare_exchange(
        name,
        "direct",
        durable=True,
        auto_delete=False,
        internal=False,
        arguments={},
        authorize=_anything_goes,
    )
    vhost.bind(exchange, queue, name, {})


def _anything_goes(*_: object) -> None:
    """An operator is asked nothing."""
