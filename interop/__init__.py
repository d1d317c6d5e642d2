"""Our broker and others, seen from outside: real clients, real processes, real sockets.

Nothing here knows the broker's insides; whatever speaks AMQP 0-9-1 at a URL can stand in its place. Load comes from
`amqp_broker.perf`, which is a client as well.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec("amqp_codec") is None:  # `python -m interop.perf` in a bare checkout
    sys.path.append(str(Path(__file__).parents[1] / "codec"))
