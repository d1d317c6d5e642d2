"""Where the HTTP API answers otherwise than RabbitMQ 4.3.6 did, on purpose; docs/http-deviations.md shows it.

`python -m tests.management.deviations` writes that page.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

import attrs


@attrs.frozen
class Deviation:
    """Something that differs.

    Attributes:
        calls: names of recorded calls, as a pattern.
        differences: what `found_in` says, as patterns.
        reason: why it is so.
    """

    calls: str
    differences: tuple[str, ...]
    reason: str

    def is_about(self, call: str, difference: str) -> bool:
        # fnmatch reads brackets as sets of characters; here they stand for the elements of a list
        readable = difference.replace("[]", "@")
        return fnmatchcase(call, self.calls) and any(
            fnmatchcase(readable, pattern.replace("[]", "@")) for pattern in self.differences
        )


DEVIATIONS: Final = (
    Deviation(
        "04[234]-*",
        ("status 20[14], 415",),
        "RabbitMQ wants `content-type: application/json` at some endpoints; JSON is read whatever it calls itself.",
    ),
    Deviation("195-*", ("status 400, 415",), "The same; what was sent is no definition, for it names no vhost."),
    Deviation("099-*", ("status 200, 404",), "The operator policy that was put before is there."),
    Deviation(
        "*",
        (
            "+ *.max-channels",
            "+ *.max-connections",
            "+ *.effective_policy_definition.*",
            "+ *[].value.*",
            "+ *operator_policy",
            "*operator_policy: *text, null",
        ),
        "The same: limits and the operator policy that were put before show.",
    ),
    Deviation(
        "1[23]?-get-*",
        ("status 200, 404",),
        "Shovels, federation, traces and the settings of a login are plugins there, which were off.",
    ),
    Deviation("1*-get-*", ("allow: HEAD, GET, OPTIONS, GET, OPTIONS",), "HEAD works wherever GET does."),
    Deviation("10[5-8]-*", ("allow: HEAD, GET, OPTIONS, GET, OPTIONS",), "The same."),
    Deviation("034-*", ("location: *",), "The hash of arguments in a `properties_key` is a server's own matter."),
    Deviation("119-*", ("error: *ports*",), "There is no port for other nodes of a cluster."),
    Deviation("121-*", ("error: *protocols*",), "The same."),
    Deviation(
        "*",
        (
            "- *reductions",
            "- *reductions_details",
            "- *garbage_collection",
            "- *metrics_gc_queue_length.*",
            "- *pending_raft_commands",
            "- *cached_segments",
            "- *ra_open_file_metrics",
            "- *cowboy_opts",
            "- *socket_opts.*",
            "- *ssl_opts",
            "- *.contexts[].protocol",
            "- *crypto_lib_version",
        ),
        "Inner life of Erlang and of its libraries.",
    ),
    Deviation("*", ("+ *.garbage_collection",), "Zeros, in lists as well."),
    Deviation(
        "*",
        ("+ *message_stats", "+ *message_stats.*"),
        "Counters are there from the start, with 0; RabbitMQ leaves out what has not happened yet.",
    ),
    Deviation(
        "*",
        ("- *client_properties.*",),
        "The clients of the test say less about themselves than those of the recording.",
    ),
    Deviation(
        "*",
        (
            "- *delayed_retry",
            "- *message_bytes_dlx",
            "- *messages_active_priorities",
            "- *messages_by_priority",
            "- *messages_delayed",
            "- *messages_dlx",
            "- *messages_ready_returned",
            "- *publishers",
            "- *first_timestamp",
        ),
        "Details of quorum queues and streams that are not counted here.",
    ),
    Deviation(
        "086-*",
        (
            "+ .consumer_*",
            "+ .message_bytes*",
            "+ .messages_persistent",
            "+ .messages_ram",
            "+ .single_active_consumer_tag",
        ),
        "Streams have the fields of all queues.",
    ),
    Deviation("*", ("+ *idle_since",), "Lists have it too, and queues of all types."),
    Deviation("*", ("- *head_message_timestamp",), "Lists do not look into queues; `queues/detailed` does."),
    Deviation(
        "*",
        ("*single_active_consumer_tag: null, text", "- *single_active_consumer_tag"),
        "A quorum queue has a single active consumer only if it was declared with one.",
    ),
    Deviation("160-*", ("[].policy: null or text, text",), "Null where there is none."),
    Deviation("160-*", ("- [].totals", "- [].type_specific"), "The totals stand beside the other fields."),
    Deviation(
        "*",
        ("[].ssl_*: text, null", "[].peer_cert_*: text, null"),
        "Empty text in lists as well, as for a single connection.",
    ),
    Deviation("07[6-9]-*", ("- *user_who_performed_action",), "Who declared an exchange is not kept."),
    Deviation("*", ("+ *container_id", "+ *global_prefetch_count", "+ *.contexts[].node"), "Other releases have it."),
    Deviation("11[01]-*", ("+ .default_queue_type",), "Other releases have it in definitions of a vhost."),
    Deviation("1*-get-definitions*", ("+ .exchanges[].internal",), "Transient internal exchanges are exported too."),
)
"""All there are."""


BEYOND_THE_RECORDING: Final = (
    (
        "1.1.10",
        "Bodies of who is no administrator have at most 10,000 values.",
        "While a body is decoded no message moves; 20 MB of small values take seconds.",
    ),
    (
        "1.2.4",
        "All samples are kept for ten minutes, five seconds apart, also of the whole broker.",
        "What is older belongs to Prometheus; a longer series ends where samples do.",
    ),
    (
        "1.4.4, 1.4.6",
        "`incoming`, `deliveries` and `publishes` are empty lists.",
        "They would take a counter for each pair of channel, exchange and queue on the way of every message.",
    ),
    (
        "6.3",
        "No `rabbitmq_io_*`, `rabbitmq_raft_*` and `rabbitmq_erlang_*` but for the uptime; the octets of connections, "
        "and what consumers can take, are on the pages by object only.",
        "Zeros would say something that is not so; a sum over connections that come and go would not only grow.",
    ),
)
"""Statements of the reference that are otherwise here, and that no recorded call shows: number, what is so, and why."""


def rendered() -> str:
    """The page."""
    lines = [
        "# HTTP API: what differs from RabbitMQ 4.3.6",
        "",
        "A recording of 196 calls to RabbitMQ 4.3.6 is played to this broker in the tests. Statuses, errors, the",
        "headers `allow`, `content-type` and `location`, names of fields and their types are the same but for what",
        "stands here. `- path` is a field that only RabbitMQ has, `+ path` one that only this broker has; otherwise",
        "ours comes first. `interop/test_management.py` asks a living RabbitMQ as well, Debian's 3.10.",
        "This page is made by `python -m tests.management.deviations`.",
        "",
        "| calls | what differs | why |",
        "|---|---|---|",
    ]
    for each in DEVIATIONS:
        what = "<br>".join(f"`{difference.replace('|', chr(92) + '|')}`" for difference in each.differences)
        lines.append(f"| `{each.calls}` | {what} | {each.reason} |")
    lines += [
        "",
        "What no recorded call shows, by the numbers of [the reference](management-reference.md):",
        "",
        "| | what is so here | why |",
        "|---|---|---|",
    ]
    lines += [f"| {number} | {what} | {why} |" for number, what, why in BEYOND_THE_RECORDING]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent.parent.parent / "docs" / "http-deviations.md").write_text(rendered())
