"""The steps of the check. Each returns its figures, or raises what did not hold."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from sharedsession import SessionMiddleware, get_session
from werkzeug.test import Client as TestClient

from .client import Client, Reply
from .load import Load
from .process import wait_until
from .scene import Broken, Scene, require, require_fresh

COUNTS = 40
WRITERS = 20
#: Seconds within which a client must be told that sessions are out of reach.
BOUND = 3.0


def one_session(scene: Scene) -> str:
    """Count with one session over alternating nodes."""
    replies = [scene.user.post("/api/count") for _ in range(COUNTS)]
    served = Counter(reply.body["served_by"] for reply in replies)
    ids = {reply.body["id"] for reply in replies}
    require(len(ids) == 1, f"{len(ids)} ids")
    require(set(served) == set(scene.cluster.apps), f"served by {dict(served)}")
    require(scene.counter() == [COUNTS, COUNTS], f"counters {scene.counter()} after {COUNTS}")
    return f"{COUNTS} counts ({_list(served)}), counter {COUNTS} on both, one id"


def cookie_attributes(scene: Scene) -> str:
    """Look at Set-Cookie, over http and over what the balancer says is https."""
    plain = Client(scene.cluster.port).post("/api/count")
    secure = Client(scene.cluster.https_port).post("/api/count")
    for reply, https in ((plain, False), (secure, True)):
        cookie = reply.cookie
        require(cookie is not None, "no cookie")
        assert cookie
        found = (bool(cookie["httponly"]), cookie["samesite"], cookie["path"], bool(cookie["secure"]), cookie["domain"])
        require(found == (True, "Lax", "/", https, ""), f"https={https}: {reply.headers['Set-Cookie']}")
    return "HttpOnly; SameSite=Lax; Path=/, and Secure exactly on https"


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


def foreign_ids(scene: Scene) -> str:
    """Present ids that are forged, unknown, ended, expired or malformed."""
    live = scene.user.cookie
    ids = {
        "forged": [live[:63] + ("0" if live[63] != "0" else "1") + live[64:], "0" * 64],
        "unknown": [_minted(scene.cluster.secret_key)],
        "ended": [_ended(scene)],
        "expired": [_expired(scene)],
        "malformed": [
            "x",
            live[:40],
            live + "." * 9,
            "../../etc/passwd",
            "%00%0d%0aflush_all",
            "a" * 3000,
            live.upper(),
        ],
    }
    fresh = []
    for presented in (one for group in ids.values() for one in group):
        for door in scene.doors:
            fresh.append(require_fresh(Client(door, presented).post("/api/count"), presented))
    require(len(set(fresh)) == len(fresh), "two clients got one id")
    return f"{_list({kind: len(group) for kind, group in ids.items()})}; each asked of both, {len(fresh)} fresh ids"


def log_in_and_out(scene: Scene) -> str:
    """Log in (a new id) and out: the old ids are dead on both nodes."""
    client = Client(scene.cluster.port)
    first = client.post("/api/count").body["id"]
    logged_in = client.post("/api/login", {"user": "ada"})
    second = client.cookie
    require(second.partition(".")[0] != first.partition(".")[0], "the id did not change")
    require(client.get("/api/session").body["attributes"] == {"count": 1, "user": "ada"}, logged_in.text)
    _require_dead(scene, first)
    require(client.post("/api/logout").cookie is not None and client.cookie == "", "the cookie was not expired")
    _require_dead(scene, first, second)
    return "new id with the same data; the first dead after log-in, both after log-out, on both nodes"


def concurrent_writers(scene: Scene) -> str:
    """Let many clients add a key each to one session, through both nodes at once."""
    client = Client(scene.cluster.port)
    client.post("/api/count")
    start = threading.Barrier(WRITERS)
    replies: list[Reply] = []

    def write(number: int) -> None:
        door = scene.doors[number % 2]
        start.wait()
        replies.append(client.at(door).post("/api/set", {"key": f"k{number}", "value": str(number)}))

    _in_threads(write, range(WRITERS))
    require([reply.status for reply in replies] == [200] * WRITERS, Counter(reply.status for reply in replies))
    expected = {f"k{number}": str(number) for number in range(WRITERS)} | {"count": 1}
    for door in scene.doors:
        found = client.at(door).get("/api/session").body["attributes"]
        require(found == expected, f"{len(found) - 1} of {WRITERS} keys")
    return f"{WRITERS} writers at once ({_list(Counter(reply.body['served_by'] for reply in replies))}), all {WRITERS} keys there"


def buttons(scene: Scene) -> str:
    """Press the page's buttons: with its token they kill and restart; without it, or from a foreign name, 403."""
    port, form = scene.cluster.port, {"token": scene.cluster.control_token}
    page = Client(port).get("/")
    require(page.status == 200 and scene.cluster.control_token in page.text, f"{page.status} for the page")
    refused = [
        Client(port).post("/control/kill/n1", {"token": "0" * 32}),
        Client(port).post("/control/kill/n1", form, Host="evil.example"),
        Client(port).get("/", Host="evil.example:80"),
    ]
    require([reply.status for reply in refused] == [403] * 3, [reply.status for reply in refused])
    for name in ("n1", "web1"):
        for action, alive in (("kill", False), ("restart", True)):
            reply = Client(port).post(f"/control/{action}/{name}", form)
            require(reply.status == 303, f"{reply.status} for {action} {name}")
            done = wait_until(lambda name=name, alive=alive: _runs(scene, name) == alive, 5)  # type: ignore[misc]
            require(done, f"{action} {name} did not happen")
    scene.await_return("n1")
    return "wrong token, foreign host: 403; n1 and web1 killed and restarted from the page"


def all_nodes_down(scene: Scene) -> str:
    """Kill every memcached process: the clients are told so, in time, and keep their cookies."""
    for node in scene.cluster.nodes.values():
        node.kill()
    asked = [scene.user.at(door) for door in (*scene.doors, scene.cluster.port)]
    replies = [
        reply for client in asked for reply in (client.get("/api/session"), client.post("/api/count"), client.get("/"))
    ]
    for reply in replies:
        require(reply.status == 503, f"{reply.status}: {reply.text[:80]}")
        require(int(reply.headers["Retry-After"]) > 0, "no Retry-After")
        require("Set-Cookie" not in reply.headers, f"Set-Cookie: {reply.headers['Set-Cookie']}")
        require(reply.took < BOUND, f"told after {reply.took:.1f} s")
    begin = time.monotonic()
    scene.cluster.heal()
    for name in scene.cluster.nodes:
        scene.await_return(name)
    require([scene.user.at(door).post("/api/count").status for door in scene.doors] == [200, 200], "not back")
    slowest = max(reply.took for reply in replies) * 1000
    return (
        f"{len(replies)} times 503 within {slowest:.0f} ms, no Set-Cookie; back after {time.monotonic() - begin:.1f} s"
    )


STEPS: list[tuple[str, Callable[[Scene], str]]] = [
    ("one session, exact counter", one_session),
    ("Set-Cookie behind the balancer", cookie_attributes),
    ("first copy killed under load", first_copy_killed),
    ("it returns empty, other copy killed", other_copy_killed),
    ("application node killed", application_node_killed),
    ("ids that are not ours to give", foreign_ids),
    ("log in, log out", log_in_and_out),
    ("concurrent writers", concurrent_writers),
    ("the page's buttons", buttons),
    ("all of memcached down", all_nodes_down),
]


def _under_load(scene: Scene, deed: Callable[[], None]) -> str:
    with Load(scene.user) as load:
        time.sleep(0.7)
        deed()
        time.sleep(1.3)
    expected = load.before + load.counted
    require(not load.wrong, f"{len(load.wrong)} of {load.statuses.total()} replies: {load.wrong[:3]}")
    require(scene.counter() == [expected] * 2, f"counters {scene.counter()}, {expected} acknowledged")
    return f"{load.counted} counts, {load.statuses.total() - load.counted} reads, no failure, counter {expected}"


def _minted(secret_key: str) -> str:
    # Signed with the right key, stored nowhere the cluster could look: made by the library's embedded store.
    def app(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        get_session(environ).ensure_id()
        start_response("200 OK", [])
        return []

    client = TestClient(SessionMiddleware(app, secret_key=secret_key, nodes="memory", route="web1"))
    client.get("/")
    cookie = client.get_cookie("JSESSIONID")
    if cookie is None:
        raise Broken("the embedded store gave no id")
    return cookie.value


def _ended(scene: Scene) -> str:
    client = Client(scene.cluster.port)
    presented = str(client.post("/api/count").body["id"])
    client.post("/api/logout")
    return presented


def _expired(scene: Scene) -> str:
    client = Client(scene.cluster.port)
    client.post("/api/count")
    presented = str(client.post("/api/expire").body["id"])
    time.sleep(2.2)  # memcached's clock ticks once a second
    return presented


def _require_dead(scene: Scene, *ids: str) -> None:
    for presented in ids:
        for door in scene.doors:
            reply = Client(door, presented).get("/api/session")
            require(reply.status == 200 and reply.body["attributes"] == {}, f"alive: {reply.status} {reply.text}")


def _in_threads(work: Callable[[int], None], numbers: Iterable[int]) -> None:
    threads = [threading.Thread(target=work, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _runs(scene: Scene, name: str) -> bool:
    return scene.cluster.processes[name].running


def _list(figures: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(figures.items()))
