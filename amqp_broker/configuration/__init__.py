"""From files, environment and command line to a `Config`, in RabbitMQ's words.

`syntax` reads the form of `rabbitmq.conf`, `keys` is the table of what each key means, `variables` the one of
environment variables, `loading` puts them together and remembers where each value came from. Knows nothing of
a broker that runs.
"""
