"""A broker that starts learns what its cluster knows; it waits for NATS as long as that takes."""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import suppress
from typing import Final

from amqp_broker.cluster.bucket import Bucket
from amqp_broker.cluster.log import Conflict, LogUnavailable
from amqp_broker.cluster.meta import Meta
from amqp_broker.cluster.nats import Nats

log = logging.getLogger(__name__)

SECRET_KEY: Final = "secret"
RETRY_S: Final = 0.5
PATIENCE_S: Final = 5.0
"""How often to say that NATS is waited for."""


def enter(nats: Nats, bucket: Bucket, meta: Meta) -> bytes:
    """Connect to NATS, and tell `meta` all there is; gives the cluster's secret, which the first of its nodes makes."""
    nats.open()
    said = ""
    while True:
        try:
            nats.wait_connected(PATIENCE_S)
            bucket.open()
            items = bucket.items()
            if SECRET_KEY not in items:
                with suppress(Conflict):
                    bucket.create(SECRET_KEY, secrets.token_bytes(32))
                continue
        except LogUnavailable as error:
            if str(error) != said:
                said = str(error)
                log.warning("the cluster can't be joined yet: %s", error)
            time.sleep(RETRY_S)
            continue
        for key, (value, revision) in items.items():
            meta.told(key, value, revision)
        return items[SECRET_KEY][0]
