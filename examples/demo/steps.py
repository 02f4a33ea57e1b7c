"""The steps of the check in which all is well but the client. Each returns its figures, or raises what did not hold."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from werkzeug.test import Client as TestClient

from sharedsession import SessionMiddleware, get_session

from .client import Client, Reply
from .scene import Broken, Scene, require, require_fresh

COUNTS = 40
WRITERS = 20


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
    asked = [(door, presented) for group in ids.values() for presented in group for door in scene.doors]
    fresh = [require_fresh(Client(door, presented).post("/api/count"), presented) for door, presented in asked]
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
    served = Counter(reply.body["served_by"] for reply in replies)
    return f"{WRITERS} writers at once ({_list(served)}), all {WRITERS} keys there"


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


def _list(figures: dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(figures.items()))
