"""A process that tells what memory it takes, step by step: `python -m bench.growth.idle <step> <ports>`.

It prints a JSON object: name -> KiB that are this process's alone.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import time

from .meter import kernel_memory, own_memory

CONNECTIONS = 900
NODES = 1000
#: Keys that a process looks up in its life; most stretches of the circle are among them.
LOOK_UPS = 400_000


def settled() -> float:
    """Return the KiB that are this process's alone, once what is not needed is given back."""
    gc.collect()
    return own_memory()


def serving(ports: list[int]) -> dict[str, float]:
    """Serve with a bare application, then with sessions."""
    from ..child import Client
    from ..contenders import bare

    Client(bare.application).request("/untouched/small", "")
    found = {"a bare application": settled()}
    from ..contenders import ours

    client = Client(ours.build(ports))
    found["with the middleware"] = settled()
    for _ in range(200):
        cookie = client.create("small")
        client.request("/change/small", cookie)
    found["after 400 requests"] = settled()
    return found


def ring(ports: list[int]) -> dict[str, float]:
    """Make a large ring, and use it."""
    from sharedsession.memcached.ring import Ring
    from sharedsession.nodelist import NodeConfig

    before = settled()
    circle = Ring([NodeConfig(f"n{number}", ("127.0.0.1", 1 + number)) for number in range(NODES)])
    built = settled()
    for number in range(LOOK_UPS):
        circle.nodes_for(hashlib.sha256(b"%d" % number).hexdigest())
    return {"built": built - before, "used": settled() - before}


def connections(ports: list[int]) -> dict[str, float]:
    """Open many connections to one node, and use each."""
    from sharedsession.memcached.commands import Get
    from sharedsession.memcached.node import Node
    from sharedsession.memcached.patience import Deadline
    from sharedsession.nodelist import NodeConfig

    node = Node(NodeConfig("n1", ("127.0.0.1", ports[0])), 5.0)
    first = node.open(Deadline(10.0))
    before, kernel = settled(), kernel_memory()
    opened = [node.open(Deadline(10.0)) for _ in range(CONNECTIONS)]
    for connection in [first, *opened]:
        connection.send(Get("nothing", None), time.monotonic() + 10)
        connection.receive(Get("nothing", None), time.monotonic() + 10, 0)
    # Read by the parent while they are open.
    print(json.dumps({"process": settled() - before, "kernel": kernel_memory() - kernel}), flush=True)
    sys.stdin.read()
    return {}


STEPS = {"serving": serving, "ring": ring, "connections": connections}

if __name__ == "__main__":
    result = STEPS[sys.argv[1]]([int(port) for port in sys.argv[2:]])
    if result:
        print(json.dumps(result))
