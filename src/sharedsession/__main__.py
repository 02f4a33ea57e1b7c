"""The command `sharedsession`, for the operator: asks nodes how they are, and sweeps one before it is retired."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence

from .assembly import Parts, assemble
from .config import SessionConfig
from .diagnostics import probe
from .errors import ConfigError
from .memcached.connection import FAULTS
from .settings import build_config, read_environment

#: Options that name functions of the application.
HOOKS = ("fingerprint", "may_create")

_HELP = """Options come from the environment, as for the application: SHAREDSESSION_NODES, SHAREDSESSION_SECRET_KEY,
SHAREDSESSION_KEY_PREFIX, SHAREDSESSION_COPIES and so on. Exit status: 0, 1 when something does not answer or was not
done, 2 when an option is wrong."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status.

    Args:
        arguments: what follows the command's name; None: those of this process.
    """
    options = _parser().parse_args(arguments)
    try:
        return _run(options)
    except ConfigError as error:
        print(f"sharedsession: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("sharedsession", epilog=_HELP)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("nodes", help="ask every memcached node, and show how it answers")
    commands.add_parser("check", help="the same, and whether the application nodes have the same secret as here")
    sweep = commands.add_parser("sweep", help="carry all sessions of a node to the others, so that it can be stopped")
    sweep.add_argument("node", help="its name in the node list, or its entry: n3:10.0.0.3:11211")
    return parser


def _run(options: argparse.Namespace) -> int:
    parts = assemble(_config(needs_secret=options.command != "nodes"))
    try:
        if options.command == "sweep":
            return _sweep(parts, options.node)
        return _check(parts) if options.command == "check" else _nodes(parts)
    finally:
        parts.close()


def _config(*, needs_secret: bool) -> SessionConfig:
    # To ask a node how it is, no secret is needed.
    secret = {} if needs_secret else {"secret_key": secrets.token_hex()}
    options = read_environment(os.environ)
    for hook in HOOKS:  # the application's own, which this need not import
        options.pop(hook, None)
    config = build_config(options, secret)
    if config.memcached_nodes is None:
        raise ConfigError("nodes", "there are none; set SHAREDSESSION_NODES as for the application")
    return config


def _nodes(parts: Parts) -> int:
    probed = probe(parts)
    for node in probed:
        print(f"{node.name:<12} {node.address:<24} {node}")
    return 0 if all(node.answers for node in probed) else 1


def _check(parts: Parts) -> int:
    status = _nodes(parts)
    agreement = parts.policy.manager.agreement
    difference = agreement.compare() if agreement is not None else None
    if difference is not None:
        print(f"sharedsession: secret_key: {difference}", file=sys.stderr)
        return 1
    print("secret_key: no other one is in use")
    return status


def _sweep(parts: Parts, node: str) -> int:
    try:
        swept = parts.sweep(node)
    except ConfigError:
        raise
    except FAULTS as error:
        print(f"sharedsession: {node}: {error}", file=sys.stderr)
        return 1
    print(f"{node}: {swept}")
    if swept.problem:
        print(f"sharedsession: {node}: {swept.problem}", file=sys.stderr)
        return 1
    print("it can be stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
