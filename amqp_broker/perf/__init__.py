"""Load on a broker, any that speaks AMQP 0-9-1: what `amqp-broker perf` and `interop.perf` measure with.

- `workload`: what is sent, where, and how it is acknowledged     - `board`: the counts that all processes share
- `wire`: the little AMQP this needs, on a blocking socket         - `histogram`: latencies
- `publisher`, `consumer`: what the load processes do              - `run`: starts them, watches them, cleans up

Costs so little that one core saturates a broker: frames are made once and sent over and over, deliveries are of one
size and counted by octets. A client: it knows nothing of this broker's insides, nor of its codec, whose mistakes it
must not share.
"""
