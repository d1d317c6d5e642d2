"""Traces into files: begin, list and end them, and fetch what they have written."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from amqp_broker.administration.traces import start_trace, stop_trace
from amqp_broker.inspection.values import Record
from amqp_broker.links.traces import Trace, TraceFormat
from amqp_broker.management.api.health import check_node_name
from amqp_broker.management.call import Call
from amqp_broker.management.errors import bad_request, not_found
from amqp_broker.management.replies import NO_CONTENT, File, Reply, created_or_changed
from amqp_broker.management.routes import Needs, Routes
from amqp_broker.net.tracers import trace_directory

routes = Routes()

SUFFIX: Final = ".log"
MAX_NAME_OCTETS: Final = 200


@routes.get("traces", Needs.ADMINISTRATOR)
@routes.get("traces/node/{node}", Needs.ADMINISTRATOR)
def list_traces(call: Call) -> list[Record]:
    """The traces into files that run."""
    check_node_name(call)
    return [_record(call, trace) for trace in call.broker.traces]


@routes.get("traces/{vhost}", Needs.ADMINISTRATOR)
@routes.get("traces/node/{node}/{vhost}", Needs.ADMINISTRATOR)
def list_traces_of_vhost(call: Call) -> list[Record]:
    """The traces of a vhost."""
    check_node_name(call)
    return [_record(call, trace) for trace in call.broker.traces.of_vhost(call.vhost.name)]


@routes.get("traces/{vhost}/{name}", Needs.ADMINISTRATOR)
@routes.get("traces/node/{node}/{vhost}/{name}", Needs.ADMINISTRATOR)
def show_trace(call: Call) -> Record:
    """One trace."""
    return _record(call, _trace(call))


@routes.put("traces/{vhost}/{name}", Needs.ADMINISTRATOR)
@routes.put("traces/node/{node}/{vhost}/{name}", Needs.ADMINISTRATOR)
def begin_trace(call: Call) -> Reply:
    """Write what fits `pattern` into a file, as `format` json or text; `max_payload_bytes` shortens payloads."""
    check_node_name(call)
    call.require("format", "pattern")
    if not _is_safe(name := call.path["name"]):
        raise bad_request("invalid trace name")
    limit = call.fields.get("max_payload_bytes")
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise bad_request("max_payload_bytes not integer")
    if call.text("format") not in list(TraceFormat):
        raise bad_request("format not json or text")
    if trace_directory(call.broker.config) is None:
        raise bad_request("a broker without a data directory writes traces only where tracing.dir says")
    format_ = TraceFormat(call.text("format"))
    trace = Trace(call.vhost.name, name, format_, call.text("pattern"), limit)
    return created_or_changed(start_trace(call.broker, trace))


@routes.delete("traces/{vhost}/{name}", Needs.ADMINISTRATOR)
@routes.delete("traces/node/{node}/{vhost}/{name}", Needs.ADMINISTRATOR)
def end_trace(call: Call) -> Reply:
    """End a trace; its file stays."""
    stop_trace(call.broker, _trace(call))
    return NO_CONTENT


@routes.get("trace-files", Needs.ADMINISTRATOR)
@routes.get("trace-files/node/{node}", Needs.ADMINISTRATOR)
def list_trace_files(call: Call) -> list[Record]:
    """The files that traces have written."""
    check_node_name(call)
    directory = trace_directory(call.broker.config)
    if directory is None or not directory.is_dir():
        return []
    return [{"name": path.name, "size": path.stat().st_size} for path in sorted(directory.glob(f"*{SUFFIX}"))]


@routes.get("trace-files/{name}", Needs.ADMINISTRATOR)
@routes.get("trace-files/node/{node}/{name}", Needs.ADMINISTRATOR)
def fetch_trace_file(call: Call) -> File:
    """What a trace has written, as plain text."""
    return File(_file(call))


@routes.delete("trace-files/{name}", Needs.ADMINISTRATOR)
@routes.delete("trace-files/node/{node}/{name}", Needs.ADMINISTRATOR)
def delete_trace_file(call: Call) -> Reply:
    """Delete a file that a trace has written."""
    _file(call).unlink()
    return NO_CONTENT


def _record(call: Call, trace: Trace) -> Record:
    record: Record = {"vhost": trace.vhost, "name": trace.name, "format": trace.format, "pattern": trace.pattern}
    if trace.max_payload_octets is not None:
        record["max_payload_bytes"] = trace.max_payload_octets
    link = call.broker.links.get(trace.key)
    if link is not None:
        record |= {"state": link.state, "reason": link.reason}
    return record


def _trace(call: Call) -> Trace:
    """The trace that the path names. Raises ApiError 404."""
    check_node_name(call)
    for trace in call.broker.traces.of_vhost(call.vhost.name):
        if trace.name == call.path["name"]:
            return trace
    raise not_found()


def _file(call: Call) -> Path:
    """The file that the path names. Raises ApiError 404."""
    check_node_name(call)
    name, directory = call.path["name"], trace_directory(call.broker.config)
    if directory is None or not _is_safe(name) or not name.endswith(SUFFIX):
        raise not_found()
    path = directory / name
    if path.is_symlink() or not path.is_file():
        raise not_found()
    return path


def _is_safe(name: str) -> bool:
    """Whether a name stays in its directory, on any system."""
    return (
        0 < len(name.encode("utf-8", "replace")) <= MAX_NAME_OCTETS
        and name.isprintable()
        and not name.startswith(".")
        and not any(letter in name for letter in '/\\:*?"<>|')
    )
