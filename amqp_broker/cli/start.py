"""Where the command `amqp-broker` begins.

What it imports is made to stay, so nobody looks for garbage in it meanwhile: that takes a twentieth of a start.
"""

from __future__ import annotations

import gc


def main() -> int:
    """Run the command; gives the exit status."""
    gc.disable()
    try:
        from amqp_broker.cli.main import main as run
    finally:
        gc.enable()
    return run()
