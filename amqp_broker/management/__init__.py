"""The management port: RabbitMQ's HTTP API, the web page, and the metrics.

What the API answers is made from the broker's objects at the moment of the request; nothing is collected for it
beforehand but a sample of the counters every few seconds, for rates.
"""
