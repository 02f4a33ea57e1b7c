"""The shipped configurations of nginx, HAProxy and Apache, run for real in front of two application nodes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from balancers import Answer, ApplicationNode, Balancer, id_in, route_of
from servers import START_TIMEOUT, Memcached

Web = dict[str, ApplicationNode]
StartBalancer = Callable[[str, Web], Balancer]

STICKY = ["nginx.conf", "haproxy.cfg", "apache.conf"]
#: Well-formed, but its node does not exist; and no id of ours at all.
FOREIGN = [f"{'0' * 64}.web9", "another-application's", "x.web1.y"]

#: Configuration, the form of a POST (None: a GET), whether the request goes on to another node.
UNDER_WAY: list[tuple[str, dict[str, str] | None, bool]] = [
    *((kind, None, kind != "apache.conf") for kind in STICKY),
    *((kind, {}, False) for kind in STICKY),
]


@pytest.fixture(scope="module")
def stack() -> Iterator[ExitStack]:
    """Return what ends the module's processes when its last test has ended."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def sessions(stack: ExitStack) -> list[Memcached]:
    """Return two memcached nodes."""
    return [started(stack, Memcached(name)) for name in ("n1", "n2")]


@pytest.fixture(scope="module")
def sticky_web(stack: ExitStack, sessions: list[Memcached], tmp_path_factory: pytest.TempPathFactory) -> Web:
    """Return the application nodes web1 and web2 with sticky=True; tests may kill and start them."""
    return start_web(stack, sessions, tmp_path_factory.mktemp("sticky"), sticky=True)


def start_web(stack: ExitStack, sessions: list[Memcached], directory: Path, *, sticky: bool) -> Web:
    """Start the application nodes web1 and web2."""
    web = {route: ApplicationNode(directory, route, sessions, sticky=sticky) for route in ("web1", "web2")}
    for node in web.values():
        node.start()
        stack.callback(node.kill)
    return web


def started(stack: ExitStack, server: Memcached) -> Memcached:
    """Return the server; it is killed at the end."""
    stack.callback(server.kill)
    return server


@pytest.fixture
def start_balancer(tmp_path: Path) -> Iterator[StartBalancer]:
    """Return a function that starts a balancer before the application nodes, which are all up then."""
    with ExitStack() as stack:

        def start(kind: str, web: Web) -> Balancer:
            for node in web.values():
                node.start()
            for node in web.values():
                node.wait()
            balancer = Balancer(kind, tmp_path, web.values())
            stack.callback(balancer.stop)
            return balancer

        yield start


@pytest.fixture(params=STICKY)
def balancer(request: pytest.FixtureRequest, start_balancer: StartBalancer, sticky_web: Web) -> Balancer:
    """Return each of the sticky balancers, which has seen no node down yet."""
    return start_balancer(request.param, sticky_web)


def other(route: str) -> str:
    """Return the other node's route."""
    return {"web1": "web2", "web2": "web1"}[route]


def follow(balancer: Balancer, link: str) -> Answer:
    """Follow a link without cookies; what the application saw of its query is whole."""
    answer = balancer.ask(link)
    assert answer.query == {"q": "a.b", "r": "web9"}
    return answer


def first_visit(balancer: Balancer, route: str) -> Answer:
    """Come without an id until that node has made a session."""
    for _ in range(10):
        answer = balancer.ask("/visit?keep=tea")
        if answer.node == route:
            assert route_of(answer.cookie) == route_of(id_in(answer.link)) == route_of(answer.field) == route
            return answer
    raise AssertionError(f"ten clients, and none was sent to {route}")


def test_without_an_id_clients_are_spread(balancer: Balancer) -> None:
    """Clients that show no id are spread evenly over both nodes."""
    nodes = [balancer.ask("/visit").node for _ in range(20)]
    assert nodes.count("web1") == nodes.count("web2") == 10


def test_cookie_stays_on_its_node(balancer: Balancer) -> None:
    """A client with the cookie is served by the node that issued it, every time, and is told nothing new."""
    for route in ("web1", "web2"):
        cookie = first_visit(balancer, route).cookie
        for visits in range(2, 12):
            answer = balancer.ask("/visit?q=a.b", cookie)
            assert (answer.node, answer.session["visits"], answer.cookie) == (route, visits, "")


def test_url_stays_on_its_node(balancer: Balancer) -> None:
    """A client without cookies that follows encoded links, with dots in the query, stays on its node."""
    for route in ("web1", "web2"):
        answer = first_visit(balancer, route)
        for visits in range(2, 12):
            answer = follow(balancer, answer.link)
            assert (answer.node, answer.session["visits"], answer.cookie) == (route, visits, "")


def test_form_is_served_by_any_node(balancer: Balancer) -> None:
    """A form's hidden id is no concern of the balancer's: each node serves it, with all that the session holds."""
    field = first_visit(balancer, "web1").field
    answers = [balancer.ask("/visit", form={"jsessionid": field}) for _ in range(6)]
    assert {answer.node for answer in answers} == {"web1", "web2"}
    assert [answer.session for answer in answers] == [{"visits": visits, "kept": "tea"} for visits in range(2, 8)]


def test_form_with_the_id_in_its_action_stays_on_its_node(balancer: Balancer) -> None:
    """A form whose action is encoded as well is sent to the session's node."""
    answer = first_visit(balancer, "web2")
    for _ in range(6):
        answer = balancer.ask(answer.link, form={"jsessionid": answer.field})
        assert answer.node == "web2"


def test_failover_with_a_cookie(balancer: Balancer, sticky_web: Web) -> None:
    """The other node serves a dead node's client and re-issues the cookie, with which it stays, also afterwards."""
    old = first_visit(balancer, "web1").cookie
    sticky_web["web1"].kill()
    answer = balancer.ask("/read", old)
    assert (answer.node, answer.session) == ("web2", {"visits": 1, "kept": "tea"})
    new = answer.cookie
    assert new == old.replace("web1", "web2")

    assert_stays(balancer, "web2", new)
    sticky_web["web1"].start()
    sticky_web["web1"].wait()
    assert_stays(balancer, "web2", new)


def assert_stays(balancer: Balancer, route: str, cookie: str) -> None:
    """Each of several requests is served by that node, with the session, and without a new cookie."""
    for _ in range(6):
        answer = balancer.ask("/read", cookie)
        assert (answer.node, answer.session["kept"], answer.cookie) == (route, "tea", "")


def test_failover_of_a_change(balancer: Balancer, sticky_web: Web) -> None:
    """A POST, which is not repeated once it was sent, still goes on when the dead node refuses the connection."""
    old = first_visit(balancer, "web1").cookie
    sticky_web["web1"].kill()
    answer = balancer.ask("/visit", old, form={"keep": "cake"})
    assert (answer.node, answer.session) == ("web2", {"visits": 2, "kept": "cake"})


@pytest.mark.parametrize(("kind", "form", "goes_on"), UNDER_WAY)
def test_node_dies_over_a_request(
    start_balancer: StartBalancer, sticky_web: Web, kind: str, form: dict[str, str] | None, goes_on: bool
) -> None:
    """A GET over which its node dies goes on to the other one (Apache: 502); a POST may have happened, and does not."""
    balancer = start_balancer(kind, sticky_web)
    cookie = first_visit(balancer, "web1").cookie
    begun = sticky_web["web1"].directory / "slow"
    begun.unlink(missing_ok=True)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(balancer.ask, "/slow", cookie, form=form)
        deadline = time.monotonic() + START_TIMEOUT
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        sticky_web["web1"].kill()
        if goes_on:
            assert (answer.result().node, route_of(answer.result().cookie)) == ("web2", "web2")
        else:
            with pytest.raises(AssertionError, match=r"^502"):
                answer.result()


def test_failover_with_a_url(balancer: Balancer, sticky_web: Web) -> None:
    """A client without cookies gets the other node's route in its links and forms, and stays there."""
    answer = first_visit(balancer, "web2")
    sticky_web["web2"].kill()
    for visits in range(2, 6):
        answer = follow(balancer, answer.link)
        assert (answer.node, answer.session) == ("web1", {"visits": visits, "kept": "tea"})
        assert route_of(id_in(answer.link)) == route_of(answer.field) == "web1"

    sticky_web["web2"].start()
    sticky_web["web2"].wait()
    for visits in range(6, 10):
        answer = follow(balancer, answer.link)
        assert (answer.node, answer.session["visits"]) == ("web1", visits)


def test_unknown_routes_are_spread(balancer: Balancer) -> None:
    """An id whose route no node has, or another application's cookie, sends the client to any node."""
    for cookie in FOREIGN:
        assert {balancer.ask("/read", cookie).node for _ in range(6)} == {"web1", "web2"}


@pytest.mark.parametrize("kind", ["nginx.conf", "haproxy.cfg"])
def test_dead_cookie_does_not_hide_the_url(start_balancer: StartBalancer, sticky_web: Web, kind: str) -> None:
    """With another application's cookie of the same name, the route in the URL still counts."""
    balancer = start_balancer(kind, sticky_web)
    answer = first_visit(balancer, "web2")
    for _ in range(6):
        answer = balancer.ask(answer.link, "another-application's")
        assert answer.node == "web2"


@pytest.mark.parametrize(("kind", "route"), [("nginx.conf", "web2"), ("haproxy.cfg", "web2"), ("apache.conf", "web1")])
def test_cookie_and_url(start_balancer: StartBalancer, sticky_web: Web, kind: str, route: str) -> None:
    """With one id in the URL and another in the cookie, the cookie's session is served; only Apache goes by the URL."""
    balancer = start_balancer(kind, sticky_web)
    link, cookie = first_visit(balancer, "web1").link, first_visit(balancer, "web2").cookie
    balancer.ask("/visit?keep=coffee", cookie)
    answer = balancer.ask(link, cookie)
    assert (answer.node, answer.session) == (route, {"visits": 3, "kept": "coffee"})


@pytest.mark.parametrize("kind", ["nginx.conf", "haproxy.cfg"])
def test_query_names_no_node(start_balancer: StartBalancer, sticky_web: Web, kind: str) -> None:
    """What looks like an id in the query string is not taken for one."""
    balancer = start_balancer(kind, sticky_web)
    query = f"?next=/page;jsessionid={'0' * 64}.web1"
    assert {balancer.ask("/read" + query).node for _ in range(6)} == {"web1", "web2"}


def test_what_the_application_believes(balancer: Balancer) -> None:
    """The client's own Host, not its X-Forwarded headers, says which host and which absolute links are its own."""
    own = {"Host": "shop.example"}
    forged = dict.fromkeys(("X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix"), "evil")
    for link in ("http://shop.example/a", "http://evil/a", "https://shop.example/a"):
        answer = balancer.ask(f"/visit?absolute={link}", headers=own | forged)
        assert answer.host == "shop.example"
        assert bool(id_in(answer.absolute)) == (link == "http://shop.example/a")


@pytest.mark.parametrize("kind", [*STICKY, "nginx-round-robin.conf"])
def test_access_log_holds_no_id(start_balancer: StartBalancer, sticky_web: Web, kind: str) -> None:
    """The balancer's access log says which pages were asked for, and holds no id by which one could get in."""
    balancer = start_balancer(kind, sticky_web)
    answer = balancer.ask("/visit")
    balancer.ask(answer.link, answer.cookie, headers={"Referer": f"http://shop.example{answer.link}"})
    deadline = time.monotonic() + 30  # what a balancer logs may come a moment after its answer, or with its end
    while balancer.access_log.read_text().count("GET /visit") < 2 and time.monotonic() < deadline:
        if time.monotonic() > deadline - 25:
            balancer.stop()
        time.sleep(0.05)
    balancer.stop()
    log = balancer.access_log.read_text()
    assert log.count("GET /visit") == 2
    assert answer.cookie.partition(".")[0] not in log


def test_round_robin_without_stickiness(
    start_balancer: StartBalancer, stack: ExitStack, sessions: list[Memcached], tmp_path: Path
) -> None:
    """Plain round robin serves one session from both nodes, by cookie, URL and form, and the id never changes."""
    web = start_web(stack, sessions, tmp_path, sticky=False)
    balancer = start_balancer("nginx-round-robin.conf", web)
    first = balancer.ask("/visit?keep=tea")

    by_cookie = [balancer.ask("/visit", first.cookie) for _ in range(4)]
    assert [answer.node for answer in by_cookie] == [other(first.node), first.node] * 2
    assert [answer.cookie for answer in by_cookie] == [""] * 4
    assert by_cookie[-1].session == {"visits": 5, "kept": "tea"}

    first = answer = balancer.ask("/visit?keep=tea")
    nodes = []
    for visits in range(2, 6):
        answer = follow(balancer, answer.link)
        assert (answer.session, answer.link, answer.cookie) == ({"visits": visits, "kept": "tea"}, first.link, "")
        nodes.append(answer.node)
    assert nodes == [other(first.node), first.node] * 2

    by_form = [balancer.ask("/visit", form={"jsessionid": answer.field}) for _ in range(4)]
    assert {answer.node for answer in by_form} == {"web1", "web2"}
    assert by_form[-1].session == {"visits": 9, "kept": "tea"}

    web[first.node].kill()
    answers = [follow(balancer, answer.link) for _ in range(4)]
    assert {answer.node for answer in answers} == {other(first.node)}
    assert answers[-1].session == {"visits": 13, "kept": "tea"}
