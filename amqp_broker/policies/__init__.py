"""Policies: settings for queues and exchanges by their names (rules 8.1 to 8.7).

`settings` knows the keys of a definition, `policy` which policies apply to what, `merging` what they make of
a queue's or exchange's arguments. Pure: the vhost applies the result when a policy or a queue is new, so a
message never meets a policy.
"""

from amqp_broker.policies.merging import effective_alternate, effective_arguments, merged
from amqp_broker.policies.policy import NO_POLICIES, Applied, ApplyTo, Policies, Policy
from amqp_broker.policies.settings import InvalidDefinitionError, check_definition

__all__ = [
    "NO_POLICIES",
    "Applied",
    "ApplyTo",
    "InvalidDefinitionError",
    "Policies",
    "Policy",
    "check_definition",
    "effective_alternate",
    "effective_arguments",
    "merged",
]
