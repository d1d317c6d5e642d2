"""Being a client of brokers: what moves messages from one to another, without socket and loop.

- `uri`: where a broker is, and as whom to log in      - `shovels`: the parameters of component `shovel`
- `machine`: the client's end of a connection           - `upstreams`: those of federation
- `transfer`: what is on its way, and what is settled   - `board`: what runs, for those who look

The sockets are those of `net.client`; `net.shovels` and `net.federation` are the tasks.
"""
