"""The command line: `python -m examples.demo` to look at it, `--check` to have it examined."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from types import FrameType

from .check import run_check
from .cluster import Cluster
from .process import Process, StartError

_BANNER = """\
The demo is up. Ctrl-C ends it and everything it started.

    Look here      http://127.0.0.1:{port}/
                   (with cookies blocked as well: then the id travels in links and forms)
"""


def main() -> int:
    """Run the demo until it is told to end, or the check; return the exit status."""
    arguments = _arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    # A shell that starts jobs in the background makes them ignore Ctrl-C's signal; this one means it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return run_check() if arguments.check else _show(arguments.port)
    except StartError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run demo", description="A session that outlives the nodes it lives on.")
    parser.add_argument("--port", type=int, default=8080, help="where to listen (%(default)s, or the next free one)")
    parser.add_argument("--check", action="store_true", help="examine the cluster and break it, without a person")
    return parser.parse_args()


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _show(port: int) -> int:
    with Cluster(port) as cluster:
        print(_BANNER.format(port=cluster.port))
        print(_table(cluster), flush=True)
        try:
            while cluster.balancer.running:
                time.sleep(0.5)
        except KeyboardInterrupt:
            print("\nEnding.")
            return 0
        print(f"demo: nginx has ended:\n{cluster.balancer.last_words()}", file=sys.stderr)
        return 1


def _table(cluster: Cluster) -> str:
    rows = [
        _row(cluster.balancer, "nginx", "takes the application nodes in turn, sticks to nobody"),
        *(_row(app, "gunicorn", "application node: Flask and sharedsession") for app in cluster.apps.values()),
        *(_row(node, "memcached", "memcached node: a session is on two of these") for node in cluster.nodes.values()),
        f"\n    Logs           {cluster.directory}/*.log",
    ]
    return "\n".join(rows)


def _row(process: Process, program: str, what: str) -> str:
    name = "balancer" if program == "nginx" else process.name
    return f"    {name:<13}  {program:<9}  127.0.0.1:{process.port:<6}  {what}"


if __name__ == "__main__":
    sys.exit(main())
