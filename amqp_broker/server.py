"""What runs in one process: listeners, clients, the schedule; and the order in which it ends."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, MutableMapping
from functools import partial
from pathlib import Path

import trio

from amqp_broker import logs
from amqp_broker.broker import Broker
from amqp_broker.cluster.joining import join
from amqp_broker.config import AuthEntry, Config, TlsOptions
from amqp_broker.ctl import places
from amqp_broker.inspection.node import Node
from amqp_broker.log_exchange import CONTENT_TYPES, LOG_EXCHANGE, LogExchange
from amqp_broker.management.server import open_http_services
from amqp_broker.net.control import SUBJECT, answer_node, serve_control
from amqp_broker.net.doors import open_doors
from amqp_broker.net.edge import in_round
from amqp_broker.net.hub import new_hub
from amqp_broker.net.links import run_links
from amqp_broker.net.listener import Manners, Reception, manners_of
from amqp_broker.net.serving import serve
from amqp_broker.net.systemd import Notifier, inherited_sockets
from amqp_broker.net.tls import TlsConfigError, TlsKeeper
from amqp_broker.resources import Resources
from amqp_broker.storage.committer import Committer
from amqp_broker.storage.gathering import Gathering
from amqp_broker.storage.lock import DirectoryLock
from amqp_broker.storage.opening import open_journal
from amqp_broker.storage.settings import JournalSettings
from amqp_broker.storage.stream_committer import StreamCommitter
from amqp_broker.timers import Timers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from amqp_broker.administration.loading import Unfinished
    from amqp_broker.cluster.node import ClusterNode
    from amqp_broker.inspection.cluster import Cluster
    from amqp_broker.net.fetch import Fetcher
    from amqp_broker.net.relaying import Relay

log = logging.getLogger(__name__)

RESOURCES_LOOK_S = 0.25


class Server:
    """A broker that listens.

    Made with a data directory it takes over what is in there, which can take a while.

    Args:
        config: settings.
        make_broker: takes a `Config`, and `storage` where there is a data directory.
        environment: where systemd says what it offers this process.

    Raises:
        DataDirInUse: another broker has the directory.
        UnknownFormat: a later version wrote it.
        OSError: it can't be read or written.
        TlsConfigError: certificates can't be used.
        ClusterConfigError: no node of a cluster can be run like this.
        AuthConfigError: backends that know users can't be set up.
        InvalidDefinitionsError: definitions that are to be loaded can't be.

    Attributes:
        urls: where clients find it, AMQP first; known once `run` has reported that it is started.
        stopped: set when `run` has ended in order.
    """

    def __init__(
        self,
        config: Config,
        *,
        make_broker: Callable[..., Broker] = Broker,
        environment: MutableMapping[str, str] | None = None,
    ) -> None:
        self.config = config
        self._environment = os.environ if environment is None else environment
        self._tls = _tls_of(config)
        self._data: _DataDirectory | None = None
        self._cluster: ClusterNode | None = None
        if config.cluster is not None:
            self._cluster = join(config, make_broker, _journal_settings(config))
            self.broker = self._cluster.broker
            self.config = config = self.broker.config
        elif config.data_dir is not None:
            self._data = _DataDirectory(config.data_dir, config)
            self.broker = self._data.make_broker(make_broker)
        else:
            self.broker = make_broker(config)
        self._loading: Unfinished | None = None
        self._relay: Relay | None = None
        if config.load_definitions is not None:
            from amqp_broker.administration.loading import load_definitions  # seldom needed, slow to import

            skips = config.skips_unchanged_definitions
            self._loading = load_definitions(self.broker, config.load_definitions, skips_unchanged=skips)
        self._fetcher = _fetcher_of(config)
        if self._fetcher is not None:
            self.broker.fetch = self._fetcher.fetch
        self.resources = Resources(self.broker)
        if self._data is not None:
            self._data.on_stalled(self.resources.journal_changed)
        if self._cluster is not None:
            self._cluster.on_stalled = self.resources.journal_changed
        view = None if self._cluster is None else self._cluster.view
        self.node = Node(self.broker, self.resources, stop=self.stop, cluster=view)
        if view is not None:
            self._join_cluster(view)
        if config.event_exchange:
            self.broker.enable_event_exchange()
        self.urls: list[str] = []
        self.stopped = trio.Event()
        self._stopping = trio.Event()

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        """Begin an orderly stop; `run` returns when it is done."""
        self._stopping.set()

    def reload(self) -> None:
        """Read again what may change while the broker runs: certificates."""
        for keeper in self._tls.values():
            keeper.reload()
        if self._cluster is not None and self._cluster.tls is not None:
            self._cluster.tls.reload()

    async def _finish_loading(self) -> None:
        """Have other nodes load what is theirs; until then no clients are let in here, unless that can't be done."""
        if self._loading is None:
            return
        from amqp_broker.net.passing_on import finish_loading

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_when_set, self._stopping, nursery.cancel_scope)
            await finish_loading(self.node, self._loading)
            nursery.cancel_scope.cancel()

    def _join_cluster(self, cluster: Cluster) -> None:
        """Answer other nodes, and reach what they have."""
        from amqp_broker.net import local, relaying  # which few brokers need

        cluster.answer_with(SUBJECT, partial(answer_node, self.node))
        cluster.answer_with(local.SUBJECT, partial(local.answer_link, self.broker))
        cluster.answer_with(relaying.SUBJECT, partial(relaying.answer_messages, self.broker))
        self.broker.reach = partial(local.reach, cluster)
        self._relay = relaying.Relay(self.broker, cluster)
        self.broker.pass_on = self._relay.add

    def _control_path(self) -> Path:
        directory = self.config.data_dir
        port = next((each.port for each in self.node.listeners if each.port), 0)
        return places.socket_of_port(port) if directory is None else places.socket_of_directory(directory)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until `stop` is called.

        Raises:
            ListenError: something can't be listened on.
        """
        systemd = Notifier(self._environment)
        doors = await open_doors(self.config, inherited_sockets(self._environment))
        try:
            http_services = await open_http_services(self.node, doors, self._tls)
        except BaseException:
            with trio.CancelScope(shield=True):
                for door in doors:
                    await door.close()
            raise
        http_urls = [door.url for service in http_services for door in service.doors]
        self.urls = list(dict.fromkeys([*(door.url for door in doors), *http_urls]))
        async with trio.open_nursery() as background:
            for timers in dict.fromkeys((self.broker.timers, self.broker.connection_timers)):
                background.start_soon(run_timers, timers)
            hub = new_hub()
            if hub is not None:
                background.start_soon(serve, hub)
            if self._data is not None:
                self._data.committer.turns = hub
                background.start_soon(self._data.committer.run)
                background.start_soon(self._data.stream_committer.run)
            background.start_soon(_watch_resources, self.resources)
            if self.config.log_exchange:
                await background.start(_publish_log, self.broker)
            for service in http_services:
                background.start_soon(service.serve)
            if self.config.has_control_socket:
                await background.start(serve_control, self.node, self._control_path())
            if self._fetcher is not None:
                background.start_soon(self._fetcher.run)
            cluster = self._cluster
            forwarder = None if cluster is None else cluster.forwarder
            async with trio.open_nursery() as clients:
                async with trio.open_nursery() as accepting:
                    reception = Reception(self.broker, hub=hub, forwarder=forwarder)
                    if cluster is not None:
                        await background.start(cluster.run, hub)
                        manners = Manners(cluster.tls, gate=cluster.gate)
                        for listener in cluster.doors:
                            accepting.start_soon(reception.accept, listener, clients, manners)
                        if self._relay is not None:
                            background.start_soon(self._relay.run)
                        await self._finish_loading()
                    amqp_tls = None if self.config.tls is None else self._tls[self.config.tls]
                    for door in doors:
                        manners = manners_of(door, amqp_tls, self.config.tls)
                        accepting.start_soon(reception.accept, door.listener, clients, manners)
                    accepting.start_soon(run_links, self.broker)
                    background.start_soon(systemd.feed_watchdog)
                    systemd.tell("READY=1")
                    task_status.started()
                    log.info("listening on %s", " ".join(self.urls))
                    log.info("Server startup complete; 0 plugins started.")  # test containers wait for these words
                    await self._stopping.wait()
                    accepting.cancel_scope.cancel()
                systemd.tell("STOPPING=1")
                for door in doors:
                    await door.close()
                if cluster is not None:
                    with trio.move_on_after(2 * self.config.shutdown_timeout_s):
                        await cluster.leave()
                log.info("stopping: %d connections to close", len(self.broker.clients))
                clients.cancel_scope.deadline = trio.current_time() + self.config.shutdown_timeout_s
                self.broker.shut_down()
            background.cancel_scope.deadline = trio.current_time() + self.config.shutdown_timeout_s
            self.broker.timers.finish_work()
            if self._data is not None:
                await self._data.close()
            background.cancel_scope.cancel()
        if self._cluster is not None:
            await trio.to_thread.run_sync(self._cluster.close)
        log.info("stopped")
        self.stopped.set()


async def _cancel_when_set(event: trio.Event, scope: trio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


def _journal_settings(config: Config) -> JournalSettings:
    return JournalSettings(
        sync=config.sync,
        stream_segment_octets=config.stream_segment_octets,
        stream_cache_octets=config.stream_cache_octets,
    )


class _DataDirectory:
    """What is in a data directory, and the tasks that write it."""

    def __init__(self, path: Path, config: Config) -> None:
        self._lock = DirectoryLock(str(path))
        self._config = config
        self._opened = open_journal(str(path), _journal_settings(config))
        storage = self._opened.storage
        gathering = Gathering(lambda: storage.stored_count)
        self.committer = Committer(storage.journal, in_round=in_round, gathering=gathering)
        self.stream_committer = StreamCommitter(self._opened.storage.streams)

    def make_broker(self, make: Callable[..., Broker]) -> Broker:
        """Make the broker that was here before."""
        opened = self._opened
        broker = make(self._config, storage=opened.storage)
        opened.storage.definitions = broker.definitions
        there = broker.restore(opened.definitions, opened.queues)
        for queue_id in opened.queues.keys() - there:
            opened.forget_queue(queue_id)
        opened.queues.clear()
        return broker

    def on_stalled(self, callback: Callable[[OSError | None], None]) -> None:
        """Have somebody told when the data directory can't be written, and when it can again."""
        self._opened.storage.on_stalled(callback)

    async def close(self) -> None:
        """Write what there is and a clean checkpoint; cancelled, it is as safe as after a crash."""
        self._opened.storage.prepare_stop()
        self.stream_committer.stop()
        await self.stream_committer.finished.wait()
        self.committer.stop()
        await self.committer.finished.wait()
        self._lock.release()


async def run_timers(timers: Timers) -> None:
    """Sleep until the schedule's next deadline, run it, and so on until cancelled."""
    timers.on_error = _timer_failed
    while True:
        earlier = trio.Event()
        timers.on_earlier = earlier.set
        deadline = timers.next_deadline()
        delay_s = float("inf") if deadline is None else max(0.0, deadline - timers.now())
        with trio.move_on_after(delay_s):
            await earlier.wait()
        timers.run()


def _timer_failed(error: Exception) -> None:
    log.error("internal error in something that was planned", exc_info=error)


async def _watch_resources(resources: Resources) -> None:
    while True:
        resources.look()
        await trio.sleep(RESOURCES_LOOK_S)


async def _publish_log(broker: Broker, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
    """Publish what is logged to the default vhost, until cancelled."""
    config = broker.config
    exchange = broker.add_system_exchange(LOG_EXCHANGE)
    soon = partial(trio.lowlevel.current_trio_token().run_sync_soon, idempotent=True)
    handler = LogExchange(exchange, config.node_name, CONTENT_TYPES[config.log_exchange_format], soon)
    logs.shape(handler, config.log_exchange_level, config.log_exchange_format)
    root = logging.getLogger(logs.ROOT)
    broker.events.watch(exchange.hear)
    root.addHandler(handler)
    try:
        task_status.started()
        await trio.sleep_forever()
    finally:
        root.removeHandler(handler)
        broker.events.unwatch(exchange.hear)


def _tls_of(config: Config) -> dict[TlsOptions, TlsKeeper]:
    """Load the certificates. Raises TlsConfigError."""
    if config.tls is None and any(listener.is_tls for listener in config.all_listeners):
        raise TlsConfigError("a TLS listener needs a certificate")
    return {options: TlsKeeper(options) for options in config.listener_tls}


def _fetcher_of(config: Config) -> Fetcher | None:
    """What remote backends fetch with; None where there are none. Raises AuthConfigError."""
    if all(entry == AuthEntry("internal") for entry in config.auth_backends):
        return None
    from amqp_broker.net.fetch import Fetcher  # brings an HTTP client, which few brokers need

    remote = (config.auth_http, config.auth_oauth2)
    return Fetcher(options.ca for options in remote if options is not None)
