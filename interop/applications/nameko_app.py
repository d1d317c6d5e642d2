"""A greeting service in nameko: RPC, and an event that another handler hears.

Run it with `nameko run interop.applications.nameko_app`; nameko brings eventlet, so give it an environment of its own.
"""

from __future__ import annotations

from nameko.events import EventDispatcher, event_handler
from nameko.rpc import rpc


class Greeter:
    """Greets, and counts whom."""

    name = "interop_greeter"
    dispatch = EventDispatcher()

    @rpc
    def greet(self, name: str) -> str:
        self.dispatch("greeted", name)
        return f"Hello, {name}!"

    @event_handler("interop_greeter", "greeted")
    def heard(self, name: str) -> None:
        print(f"heard {name}", flush=True)
