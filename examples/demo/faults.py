"""The steps of the check in which something dies. Each returns its figures, or raises what did not hold."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from .client import Client, Reply
from .load import Load
from .process import accepts, wait_until
from .scene import Scene, require

#: Seconds within which a client must be told that sessions are out of reach.
BOUND = 3.0


def first_copy_killed(scene: Scene) -> str:
    """Kill the memcached process with the first copy while clients count and read."""
    victim = scene.copies()[0]
    figures = _under_load(scene, scene.cluster.nodes[victim].kill)
    require(victim not in scene.copies(), f"{victim} still counts as a copy")
    return f"{victim} killed; {figures}; now on {', '.join(scene.copies())}"


def other_copy_killed(scene: Scene) -> str:
    """Let it return empty, and kill the other copy: the session must have come back to the first."""
    survivors = scene.copies()
    (returned,) = (name for name, node in scene.cluster.nodes.items() if not node.running)
    begin = time.monotonic()
    scene.cluster.restart(returned)
    scene.await_return(returned)
    took = time.monotonic() - begin
    first, other = scene.copies()
    require(first == returned and other in survivors, f"copies on {first} and {other}, not on {returned} again")
    scene.cluster.nodes[other].kill()
    figures = _under_load(scene, lambda: None)
    scene.cluster.restart(other)
    scene.await_return(other)
    return f"{returned} in use again after {took:.1f} s; {other} killed; {figures}"


def application_node_killed(scene: Scene) -> str:
    """Kill an application node: the session goes on through the other."""
    before = scene.counter()[0]
    scene.cluster.apps["web1"].kill()
    replies = [scene.user.post("/api/count") for _ in range(10)]
    require({reply.status for reply in replies} == {200}, Counter(reply.status for reply in replies))
    require({reply.body["served_by"] for reply in replies} == {"web2"}, "served by a dead node")
    require(replies[-1].body["count"] == before + 10, f"{replies[-1].body} after {before + 10}")
    scene.cluster.restart("web1")
    require(scene.counter() == [before + 10] * 2, f"counters {scene.counter()} after {before + 10}")
    return "web1 killed; 10 of 10 counts through web2; web1 restarted, same session on both"


def buttons(scene: Scene) -> str:
    """Press the page's buttons: with its token they kill and restart; without it, or from a foreign name, 403."""
    client, form = Client(scene.cluster.port), {"token": scene.cluster.control_token}
    page = client.get("/")
    require(page.status == 200 and form["token"] in page.text, f"{page.status} for the page")
    refused = [
        client.post("/control/kill/n1", {"token": "0" * 32}),
        client.post("/control/kill/n1", form, Host="evil.example"),
        client.get("/", Host="evil.example:80"),
    ]
    require([reply.status for reply in refused] == [403] * 3, [reply.status for reply in refused])
    for name in ("n1", "web1"):
        for action in ("kill", "restart"):
            _press(scene, client, action, name)
    scene.await_return("n1")
    return "wrong token, foreign host: 403; n1 and web1 killed and restarted from the page"


def all_nodes_down(scene: Scene) -> str:
    """Kill every memcached process: the clients are told so, in time, and keep their cookies."""
    for node in scene.cluster.nodes.values():
        node.kill()
    replies = []
    for door in (*scene.doors, scene.cluster.port):
        client = scene.user.at(door)
        replies += [client.get("/api/session"), client.post("/api/count"), client.get("/")]
    for reply in replies:
        _require_unavailable(reply)
    require("/control/restart/n1" in replies[-1].text, "no button to restart n1")
    begin = time.monotonic()
    scene.cluster.heal()
    for name in scene.cluster.nodes:
        scene.await_return(name)
    back = time.monotonic() - begin
    require([scene.user.at(door).post("/api/count").status for door in scene.doors] == [200, 200], "not back")
    slowest = max(reply.took for reply in replies) * 1000
    return f"{len(replies)} times 503 within {slowest:.0f} ms, no Set-Cookie; back after {back:.1f} s"


def _under_load(scene: Scene, deed: Callable[[], None]) -> str:
    with Load(scene.user) as load:
        time.sleep(0.7)
        deed()
        time.sleep(1.3)
    expected = load.before + load.counted
    require(not load.wrong, f"{len(load.wrong)} of {load.statuses.total()} replies: {load.wrong[:3]}")
    require(scene.counter() == [expected] * 2, f"counters {scene.counter()}, {expected} acknowledged")
    return f"{load.counted} counts, {load.statuses.total() - load.counted} reads, no failure, counter {expected}"


def _press(scene: Scene, client: Client, action: str, name: str) -> None:
    reply = client.post(f"/control/{action}/{name}", {"token": scene.cluster.control_token})
    require(reply.status == 303, f"{reply.status} for {action} {name}")
    port, wanted = scene.cluster.processes[name].port, action == "restart"
    require(wait_until(lambda: accepts(port) == wanted, 5), f"{action} {name} did not happen")


def _require_unavailable(reply: Reply) -> None:
    require(reply.status == 503, f"{reply.status}: {reply.text[:80]}")
    require(int(reply.headers["Retry-After"]) > 0, "no Retry-After")
    require("Set-Cookie" not in reply.headers, f"Set-Cookie: {reply.headers['Set-Cookie']}")
    require(reply.took < BOUND, f"told after {reply.took:.1f} s")
