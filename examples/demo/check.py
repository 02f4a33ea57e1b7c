"""The check: runs the steps one by one on a cluster of its own, and says how each went."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from http.client import HTTPException

from . import cookieless, faults, steps
from .client import Client
from .cluster import Cluster
from .process import StartError
from .scene import Broken, Scene

STEPS: list[tuple[str, Callable[[Scene], str]]] = [
    ("one session, exact counter", steps.one_session),
    ("Set-Cookie behind the balancer", steps.cookie_attributes),
    ("first copy killed under load", faults.first_copy_killed),
    ("it returns empty, other copy killed", faults.other_copy_killed),
    ("application node killed", faults.application_node_killed),
    ("ids that are not ours", steps.foreign_ids),
    ("log in, log out", steps.log_in_and_out),
    ("without cookies", cookieless.without_cookies),
    ("concurrent writers", steps.concurrent_writers),
    ("the page's buttons", faults.buttons),
    ("all of memcached down", faults.all_nodes_down),
]


def run_check() -> int:
    """Run every step; print a line for each; return 0 if all held, else 1."""
    begin = time.monotonic()
    # Ports of its own, below those the system hands out: a demo or another check may run at the same time.
    first = random.randrange(22000, 31000, 20)  # noqa: S311 (not a secret)
    with Cluster(port=first, first_port=first + 1) as cluster:
        print(f"Checking the demo: nginx, {', '.join(cluster.processes)}; ready after {time.monotonic() - begin:.1f} s")
        scene = Scene(cluster, Client(cluster.port))
        failed = sum(not _run(number, scene) for number in range(len(STEPS)))
        if failed:
            print(_logs(cluster))
    print(f"{len(STEPS) - failed} of {len(STEPS)} steps hold, {time.monotonic() - begin:.1f} s")
    return 1 if failed else 0


def _run(number: int, scene: Scene) -> bool:
    title, step = STEPS[number]
    try:
        figures, held = step(scene), True
    except (Broken, OSError, HTTPException, StartError, KeyError, ValueError) as error:
        figures, held = f"{type(error).__name__}: {error}", False
        scene.cluster.heal()  # the next step begins with everything running, as it would have
    print(f"{number + 1:>2}  {'ok    ' if held else 'FAILED'}  {title:<36}  {figures}", flush=True)
    return held


def _logs(cluster: Cluster) -> str:
    return "\n".join(f"--- last words of {name}\n{app.last_words(40)}" for name, app in cluster.apps.items())
