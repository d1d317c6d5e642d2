"""For tests with unittest; those with pytest have the fixtures of `pytest_plugin`."""

from __future__ import annotations

import itertools
import unittest
from typing import Any, ClassVar

from amqp_broker.embedding import EmbeddedBroker, run_in_thread

_numbers = itertools.count(1)


class AmqpBrokerMixin(unittest.TestCase):
    """A base for test cases: one broker for the class, and for each test a vhost of its own.

    Attributes:
        amqp_broker_settings: the fields of `Config` to be set, and `definitions`, which every vhost gets.
        broker: the broker, and the vhost of the test that runs.
    """

    amqp_broker_settings: ClassVar[dict[str, Any]] = {}
    broker: EmbeddedBroker
    _shared: ClassVar[EmbeddedBroker]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        settings = {name: value for name, value in cls.amqp_broker_settings.items() if name != "definitions"}
        thread = run_in_thread(**settings)
        cls._shared = thread.start()
        cls.addClassCleanup(thread.stop)

    def setUp(self) -> None:
        super().setUp()
        self.broker = self.enterContext(self._shared.fresh_vhost(f"test-{next(_numbers)}"))
        definitions = self.amqp_broker_settings.get("definitions")
        if definitions is not None:
            self.broker.load_definitions_here(definitions)

    @property
    def amqp_url(self) -> str:
        """Where clients find the test's vhost."""
        return self.broker.url
