"""Metrics for Prometheus, with the names and labels of RabbitMQ's exporter, so that its dashboards show figures.

Source: management reference, chapter 6. What only Erlang has is left out.
"""
