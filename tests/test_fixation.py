"""Session fixation: planted, forged and given-up ids are worth nothing however they travel; what `__Host-` adds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from servers import Memcached, StartMemcached
from tracking.walker import IDS, Environ, Walker, bare_site, nothing
from webclient import Answer, Client, Commands, checked, commands, pages, put, sent, show

from sharedsession import Session
from sharedsession.ids import IdFactory

if TYPE_CHECKING:
    from webclient import View

KINDS = ["cookie", "url", "form"]
FORGED = ["0" * 64, IdFactory((b"quite another secret",), "sharedsession:", "").new().text, "nonsense"]


def read(environ: Environ, session: Session) -> object:
    """Answer with everything in the session."""
    return dict(session)


def log_in(environ: Environ, session: Session) -> str:
    """Log in as an application should; answer with the id."""
    session.change_id()
    session["user"] = "alice"
    return session.ensure_id()


def visit(environ: Environ, session: Session) -> str:
    """Begin a session; answer with the id."""
    session["basket"] = 1
    return session.ensure_id()


class Traveller(Walker):
    """A client whose ids travel in one way."""

    def __init__(self, kind: str, memcached: Memcached) -> None:
        views = {"/read": read, "/login": log_in, "/visit": visit, "/none": nothing}
        super().__init__(checked(bare_site(views), tracking=(kind,), nodes=memcached.node))
        self.kind = kind

    def ask(self, path: str, text: str) -> Answer:
        """Ask for a path and show an id."""
        if self.kind == "url":
            return self.follow(f"{path};jsessionid={text}")
        if self.kind == "form":
            return self.submit(path, f"jsessionid={text}".encode())
        return self.follow(path, HTTP_COOKIE=f"JSESSIONID={text}")


@pytest.fixture(params=KINDS)
def traveller(request: pytest.FixtureRequest, memcached: Memcached) -> Traveller:
    """Return a client of an application that knows this kind of ids alone."""
    return Traveller(request.param, memcached)


# -- g: reads, forged ids, old ids -------------------------------------------------------------------------------------


def test_who_only_reads_stores_nothing(traveller: Traveller, memcached: Memcached) -> None:
    """A request that only reads stores nothing and gets no id, with an unknown id, a forged one or none at all."""
    before = commands(memcached)
    for answer in (traveller.follow("/read"), *(traveller.ask("/read", text) for text in (IDS.new().text, *FORGED))):
        assert (answer.text, answer.set_cookie) == ("{}", None)
    assert sent(memcached, before).writes == 0
    assert memcached.stats()["curr_items"] == 0


@pytest.mark.parametrize("text", FORGED, ids=["zeros", "other-secret", "nonsense"])
def test_forged_ids_cost_no_command(traveller: Traveller, memcached: Memcached, text: str) -> None:
    """An id that this application did not sign costs no memcached command, and is not adopted for a new session."""
    before = commands(memcached)
    assert traveller.ask("/read", text).text == "{}"
    assert sent(memcached, before) == Commands(0, 0, 0)
    assert text not in traveller.ask("/visit", text).text
    assert traveller.ask("/read", text).text == "{}"


def test_unknown_id_is_not_adopted(traveller: Traveller) -> None:
    """A well-signed id without a session is not adopted either: the new session gets an id of its own."""
    unknown = IDS.new().text
    made = traveller.ask("/visit", unknown).text
    assert made != unknown
    assert traveller.ask("/read", unknown).text == "{}"
    assert traveller.ask("/read", made).text == "{'basket': 1}"


def test_planted_id_is_dead_after_log_in(traveller: Traveller) -> None:
    """The victim of fixation logs in under an id that the attacker knows: from then on that id is worth nothing."""
    planted = traveller.follow("/visit").text
    logged_in = traveller.ask("/login", planted).text
    assert logged_in != planted
    assert traveller.ask("/read", logged_in).text == str({"basket": 1, "user": "alice"})
    assert traveller.ask("/read", planted).text == "{}"
    assert traveller.ask("/visit", planted).text not in (planted, logged_in)
    assert traveller.ask("/read", planted).text == "{}"


@pytest.mark.parametrize("shown", KINDS)
def test_old_ids_are_dead_everywhere(start_memcached: StartMemcached, shown: str) -> None:
    """Where all kinds are on, an id given up by change_id() is dead in cookie, URL and form, on each node."""
    nodes = [start_memcached(f"n{number}").node for number in (1, 2)]
    views = {"/read": read, "/login": log_in, "/visit": visit}
    apps = [checked(bare_site(views), tracking=tuple(KINDS), nodes=nodes, route=f"web{number}") for number in (1, 2)]
    client = Walker(apps[0])
    old = client.follow("/visit").text
    new = client.follow(f"/login;jsessionid={old}").text
    for app in apps:
        other = Walker(app)
        answers = {
            "cookie": lambda other=other: other.follow("/read", HTTP_COOKIE=f"JSESSIONID={old}"),
            "url": lambda other=other: other.follow(f"/read;jsessionid={old}"),
            "form": lambda other=other: other.submit("/read", f"jsessionid={old}".encode()),
        }
        assert answers[shown]().text == "{}"
        assert "alice" in other.follow("/read", HTTP_COOKIE=f"JSESSIONID={new}").text


# -- b: cookies of two live sessions -----------------------------------------------------------------------------------


@pytest.fixture
def two(memcached: Memcached) -> tuple[Client, Client]:
    """Return two clients, each with a session of its own; /show shows it, /change gives it a new id."""
    views: dict[str, View] = {
        "/login": put("a", 1),
        "/other": put("b", 2),
        "/change": lambda session: session.change_id(),
        "/show": show,
    }
    app = pages(views, nodes=memcached.node)
    one, other = Client(app), Client(app)
    one.get("/login")
    other.get("/other")
    return one, other


def ambiguous(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log lines about cookies of several sessions."""
    return [line.getMessage() for line in caplog.records if "several live ones" in line.getMessage()]


def test_two_live_cookies_are_logged(
    two: tuple[Client, Client], memcached: Memcached, caplog: pytest.LogCaptureFixture
) -> None:
    """Cookies of two live sessions under one name are one warning, not one a request; the first cookie counts."""
    one, other = two
    both = f"JSESSIONID={one.id}; JSESSIONID={other.id}"
    key = other.key.encode()
    memcached.command(b"mg %b T60" % key)
    for _ in range(5):
        assert one.get("/show", cookie=both).text == "{'a': 1}"
    assert len(ambiguous(caplog)) == 1
    assert caplog.records[-1].levelno == logging.WARNING
    assert "__Host-" in ambiguous(caplog)[0]
    assert not any(text in caplog.text for text in (one.id, other.id, one.id[:32], other.id[:32]))
    # The other one is only looked at.
    assert int(memcached.command(b"mg %b t" % key).split()[1][1:]) <= 60


@pytest.mark.parametrize("second", ["same", "forged", "unknown", "moved"])
def test_one_live_cookie_is_daily_business(
    two: tuple[Client, Client], second: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A repeated, forged, unknown or given-up cookie beside a live one is not taken for a second session."""
    one, other = two
    text = {"same": one.id, "forged": FORGED[0], "unknown": IDS.new().text, "moved": other.id}[second]
    other.get("/change")
    for both in (f"JSESSIONID={one.id}; JSESSIONID={text}", f"JSESSIONID={text}; JSESSIONID={one.id}"):
        assert one.get("/show", cookie=both).text == "{'a': 1}"
    assert ambiguous(caplog) == []


# -- h: __Host- --------------------------------------------------------------------------------------------------------


def test_host_prefix_end_to_end(memcached: Memcached) -> None:
    """A __Host- cookie is set, found, re-set by a log-in and deleted as browsers demand: Secure, Path=/, no Domain."""
    views: dict[str, View] = {
        "/login": put("a", 1),
        "/change": lambda session: session.change_id(),
        "/logout": lambda session: session.invalidate(),
        "/show": show,
    }
    app = pages(views, nodes=memcached.node, cookie_name="__Host-session")
    client = Client(app, SCRIPT_NAME="/shop")
    for path in ("/login", "/change", "/logout"):
        attributes = (client.get(path).set_cookie or "").split("; ")
        assert attributes[0].startswith("__Host-session=")
        assert {"Secure", "Path=/", "HttpOnly", "SameSite=Lax"} <= set(attributes)
        assert not any(attribute.startswith("Domain") for attribute in attributes)
        assert client.get("/show").text == ("{}" if path == "/logout" else "{'a': 1}")


def test_planted_without_the_prefix(memcached: Memcached) -> None:
    """What a sibling domain can set, a cookie without the prefix, is not looked at where the name has it."""
    app = pages({"/login": put("a", 1), "/show": show}, nodes=memcached.node, cookie_name="__Host-session")
    client = Client(app)
    client.get("/login")
    text = client.cookies["__Host-session"]
    for name in ("session", "__host-session", "__Host-Session", "X__Host-session", "__Secure-session", "JSESSIONID"):
        assert client.get("/show", cookie=f"{name}={text}").text == "{}"
    assert client.get("/show", cookie=f"session={text}; __Host-session={text}").text == "{'a': 1}"
