"""Several brokers that keep one another's vhosts: replicated logs, leases, and who owns what.

The engine that replicates and agrees is somebody else's (`log.py` says what is asked of it); no consensus is reached
here. See docs/decisions/0017.
"""
