"""The command `sharedsession`, for the operator: asks the nodes how they are, and sweeps one before it is retired."""

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
    sweep = commands.add_parser("sweep", help="carry all sessions of a node to the others, so that it can be stopped")
    sweep.add_argument("node", help="its name in the node list, or its entry: n3:10.0.0.3:11211")
    return parser


def _run(options: argparse.Namespace) -> int:
    sweeps = options.command == "sweep"
    parts = assemble(_config(needs_secret=sweeps))
    try:
        return _sweep(parts, options.node) if sweeps else _nodes(parts)
    finally:
        parts.close()


def _config(*, needs_secret: bool) -> SessionConfig:
    # To ask a node how it is, no secret is needed.
    secret = {} if needs_secret else {"secret_key": secrets.token_hex()}
    config = build_config(read_environment(os.environ), secret)
    if config.memcached_nodes is None:
        raise ConfigError("nodes", "there are none; set SHAREDSESSION_NODES as for the application")
    return config


def _nodes(parts: Parts) -> int:
    probed = probe(parts)
    for node in probed:
        print(f"{node.name:<12} {node.address:<24} {node}")
    return 0 if all(node.answers for node in probed) else 1


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
