"""Programs that go on whatever happens to their connection, one for every client library.

Called with `publish N` one writes `confirmed K` for each number that the broker has confirmed, and ends with `done`;
at some numbers it writes `waiting K` first and goes on when it reads a line. With `consume` it writes `got K` for each
that it has received, before it acks. What is confirmed has to be got.
"""
