"""Puts the parts together as the configuration says."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from .codec import RecordCodec
from .config import SessionConfig
from .errors import ConfigError
from .exchange import Policy
from .ids import IdFactory
from .manager import Manager
from .memcached.access import Access, client_context
from .memcached.agreement import Agreement
from .memcached.cluster import Cluster
from .memcached.commands import Failed, Ping, Refused, Transport
from .memcached.dump import list_keys
from .memcached.health import AlwaysUp, Health, ProbedHealth
from .memcached.membership import Membership, Poller
from .memcached.ring import Ring
from .memcached.store import Store
from .memcached.sweep import Swept, sweep
from .memcached.transport import MemcachedTransport
from .memory import MemoryTransport
from .nodelist import NodeConfig
from .principals import Principals
from .stats import Stats, logger
from .tracking.tracking import Tracking
from .values import ValueCodec

#: The codec of attribute values of every middleware in this process.
VALUES = ValueCodec()
#: The name of the in-process store's only node.
_EMBEDDED = (NodeConfig("memory", "memory"),)


@dataclass(frozen=True)
class Reach:
    """The way to the nodes: what outlives a change of the other options."""

    stats: Stats
    transport: Transport
    health: Health
    #: TLS and authentication of connections to memcached; None: neither.
    access: Access | None = None


@dataclass(frozen=True)
class Parts:
    """Everything one middleware is made of."""

    config: SessionConfig
    reach: Reach
    cluster: Cluster
    store: Store
    ids: IdFactory
    policy: Policy
    #: Changes the node list; None for the store in this process.
    membership: Membership | None
    #: Asks for the node list, where a function tells it.
    poller: Poller | None

    @property
    def nodes(self) -> tuple[NodeConfig, ...]:
        """The memcached nodes now, in the order written; none for the store in this process."""
        return self.membership.nodes if self.membership else ()

    def sweep(self, node: str) -> Swept:
        """Carry all sessions of a node to where they belong without it, so that it can be stopped.

        From now on these parts serve without that node: for a command of its own, not for a running application.

        Args:
            node: its name, if it is on the node list, or its entry in one.

        Raises:
            ConfigError: there is no such node, or too few would be left.
            OSError, ValueError, EOFError: the node does not tell what it holds.
        """
        if self.membership is None:
            raise ConfigError("nodes", "sessions are kept in this process; there is nothing to sweep")
        self.stop_polling()
        leaving = self.membership.retire(node)
        list_its_keys = partial(
            list_keys,
            leaving,
            self.config.key_prefix,
            self.reach.access,
            connect_timeout=self.config.connect_timeout,
        )
        return sweep(self.store, self.cluster, leaving.name, list_its_keys)

    def close(self) -> None:
        """Close idle connections; end the probing and the polling."""
        self.stop_polling()
        self.health.close()
        self.transport.close()

    def stop_polling(self) -> None:
        """Leave the node list as it is."""
        if self.poller is not None:
            self.poller.close()

    @property
    def stats(self) -> Stats:
        """The counters."""
        return self.reach.stats

    @property
    def transport(self) -> Transport:
        """What carries commands to the nodes."""
        return self.reach.transport

    @property
    def health(self) -> Health:
        """What knows which nodes are up."""
        return self.reach.health


def assemble(
    config: SessionConfig,
    *,
    reach: Reach | None = None,
    clock: Callable[[], float] = time.time,
    end_when_emptied: bool = False,
    **policy: Any,
) -> Parts:
    """Build the parts of a middleware; nothing is connected before the first request.

    Args:
        config: the options.
        reach: a way to the nodes that is there already; None: a new one, as the options say.
        clock: seconds since the epoch.
        end_when_emptied: a session whose last attribute was deleted ends.
        policy: further arguments of `Policy`.
    """
    nodes = config.memcached_nodes or _EMBEDDED
    reach = reach or reach_nodes(config)
    keys = config.secret_keys
    cluster = Cluster(
        ring=Ring(nodes),
        transport=reach.transport,
        health=reach.health,
        codec=RecordCodec(keys, config.key_prefix, encrypt=config.encrypt),
        stats=reach.stats,
        copies=config.copies,
        required=config.required_copies,
        clock=clock,
        pause=_pause,
        max_lifetime=config.max_lifetime,
    )
    interval = config.max_inactive_interval or 0
    store = Store(cluster, interval)
    # The same nodes, without the limit: a principal's list outlives every session on it.
    lists = replace(cluster, max_lifetime=None)
    ids = IdFactory(keys, config.key_prefix, config.route)
    tracking = Tracking(config)
    manager = Manager(
        store,
        ids,
        VALUES,
        reach.stats,
        clock,
        default_interval=interval,
        sticky=config.sticky,
        empty_when_unavailable=config.on_unavailable == "empty",
        end_when_emptied=end_when_emptied,
        beyond_cookies=tracking.needs_entry,
        # With encryption none: how far a text shrinks tells what it has in common with what an attacker put beside it.
        compresses=not config.encrypt,
        lock_timeout=config.lock_timeout,
        principals=Principals(
            Store(lists, interval),
            store,
            ids.principal_keys,
            reach.stats,
            clock,
            limit=config.max_sessions_per_principal,
            refuse=config.too_many_sessions == "refuse",
        ),
        agreement=Agreement(cluster, keys, config.key_prefix, reach.stats) if config.memcached_nodes else None,
    )
    built = Policy(
        manager,
        tracking,
        trusted_proxies=config.trusted_proxies,
        slide_always=config.slide_always,
        save_on_5xx=config.save_on_5xx,
        ignore_paths=config.ignore_paths,
        locks_writes=config.locking == "writes",
        **policy,
    )
    membership = _membership(config, reach, [cluster, lists])
    return Parts(config, reach, cluster, store, ids, built, membership, _poller(config, membership, reach.stats))


def _membership(config: SessionConfig, reach: Reach, clusters: list[Cluster]) -> Membership | None:
    nodes = config.memcached_nodes
    if nodes is None or not isinstance(reach.transport, MemcachedTransport):
        return None
    return Membership(clusters, reach.transport, reach.health, nodes)


def _poller(config: SessionConfig, membership: Membership | None, stats: Stats) -> Poller | None:
    asked = config.nodes
    if membership is None or not callable(asked):
        return None
    return Poller(membership, asked, config.nodes_interval, stats)


def way_of(config: SessionConfig) -> object:
    """Return those of the options on which the way to the nodes depends: where they are equal it may be kept."""
    security = (config.tls, config.tls_ca, config.tls_certificate, config.tls_key, config.tls_server_name)
    credentials = (config.memcached_username, config.memcached_password)
    return config.memcached_nodes, config.connect_timeout, config.timeout, security, credentials


def reach_nodes(config: SessionConfig) -> Reach:
    """Return a way to the nodes that the options name, or the store in this process when they name none.

    Raises:
        ConfigError: a file that the options name cannot be used.
    """
    stats = Stats()
    if config.memcached_nodes is None:
        logger.info("sessions are kept in this process (no memcached nodes are configured)")
        return Reach(stats, MemoryTransport(), AlwaysUp())
    access = _access(config)
    transport = MemcachedTransport(config.memcached_nodes, config.connect_timeout, config.timeout, access)
    return Reach(stats, transport, ProbedHealth(lambda node: _probe(transport, node), stats), access)


def _access(config: SessionConfig) -> Access | None:
    """Return what connections need before their first command; reads the files that the options name."""
    if not (config.tls or config.memcached_username):
        return None
    tls = client_context(config.tls_ca, config.tls_certificate, config.tls_key) if config.tls is True else config.tls
    return Access(tls or None, config.tls_server_name, config.memcached_username, config.memcached_password)


def _probe(transport: MemcachedTransport, node: str) -> str | None:
    if not transport.reaches(node):
        return None
    answer = transport.ask([(node, Ping())])[0]
    return answer.reason if isinstance(answer, Failed | Refused) else ""


def _pause(round_number: int) -> None:
    """Wait a random time, up to 2 ms at first and 64 ms in the end: writers of one session fall out of step."""
    time.sleep(random.uniform(0, 0.002 * 2 ** min(round_number, 5)))  # noqa: S311  # not a secret
