"""Which id the links and forms of a response carry, at every step of a session's life."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pytest
from servers import Memcached
from webclient import Commands, bare, checked, commands, sent

from sharedsession import encode_redirect_url, encode_url, get_session, hidden_field
from sharedsession.session import Session
from tracking.walker import ALL, IDS, Environ, View, Walker, cookie_of, log_in, site, who

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

Action = Callable[[Session], object]


def linking(*actions: Action | None) -> View:
    """Return a view that answers with a link before the first action and after each; None is no action."""

    def view(environ: Environ, session: Session) -> str:
        links = [encode_url(environ, "x")]
        for action in actions:
            if action is not None:
                action(session)
            links.append(encode_url(environ, "x"))
        return " ".join(links)

    return view


def ids_in(text: str) -> list[str]:
    """Return the id of each link, "" for none."""
    return [link.partition(";jsessionid=")[2] for link in text.split()]


def walker_on(view: View, **options: Any) -> tuple[Walker, str]:
    """Return a client whose session is stored, and its id; /view is the view."""
    walker = Walker(site({"/login": log_in, "/view": view, "/who": who}, **options))
    return walker, walker.follow("/login").text


def write(session: Session) -> None:
    """Store something."""
    session["a"] = 1


@pytest.mark.parametrize(
    "action",
    [
        None,
        len,
        lambda s: s.get("a"),
        lambda s: s.is_new,
        lambda s: s.pop("a", 0),
        lambda s: s.id,
        lambda s: s.change_id(),
    ],
)
def test_new_and_empty(action: Action | None) -> None:
    """Links of a session with nothing to store carry no id, and nothing is created for their sake."""
    app = site({"*": linking(action)})
    answer = Walker(app).follow("/")
    assert (ids_in(answer.text), answer.set_cookie) == (["", ""], None)


@pytest.mark.parametrize("action", [write, lambda s: s.ensure_id(), lambda s: s.setdefault("a", [])])
@pytest.mark.parametrize("tracking", [ALL, ("url",)])
def test_new(action: Action, tracking: tuple[str, ...]) -> None:
    """Once there is something to store links carry the id, and it is the one that is stored and sent."""
    walker = Walker(
        site({"/view": linking(action, None), "/who": lambda e, s: f"{s.is_new} {s.source}"}, tracking=tracking)
    )
    answer = walker.follow("/view")
    before, after, again = ids_in(answer.text)
    assert before == ""
    assert after == again != ""
    assert cookie_of(answer) == (after if "cookie" in tracking else "")
    assert walker.follow(f"/who;jsessionid={after}").text == "False url"


def test_written_and_taken_back() -> None:
    """A new session emptied again before the answer creates nothing, though a link was written meanwhile."""
    answer = Walker(site({"*": linking(write, lambda session: session.clear())})).follow("/")
    assert ids_in(answer.text)[2] == ""
    assert answer.set_cookie is None


@pytest.mark.parametrize("action", [None, len, write, lambda s: s.commit()])
@pytest.mark.parametrize("kind", ["url", "form"])
def test_known(action: Action | None, kind: str) -> None:
    """The links of a session that came by URL or form carry its id."""
    walker, text = walker_on(linking(action))
    form = f"jsessionid={text}".encode()
    answer = walker.follow(f"/view;jsessionid={text}") if kind == "url" else walker.submit("/view", form)
    assert ids_in(answer.text) == [text, text]


def test_after_change_id() -> None:
    """What is written after change_id in the same response carries the new id, before and after it is stored."""
    walker, text = walker_on(linking(lambda s: s.change_id(), lambda s: s.commit()))
    answer = walker.follow(f"/view;jsessionid={text}")
    old, new, stored = ids_in(answer.text)
    assert old == text != new == stored == cookie_of(answer)
    assert walker.follow(f"/who;jsessionid={new}").text == "u by url"


@pytest.mark.parametrize("finish", [None, lambda s: s.commit()])
def test_after_invalidate(finish: Action | None) -> None:
    """After invalidate links carry no id; what is stored then has an id of its own."""
    walker, text = walker_on(linking(lambda s: s.invalidate(), finish, write))
    answer = walker.follow(f"/view;jsessionid={text}")
    old, ended, still, new = ids_in(answer.text)
    assert (old, ended, still) == (text, "", "")
    assert new == cookie_of(answer) not in ("", text)


def test_ended_elsewhere() -> None:
    """A session that another request ends while this one runs leaves no id in what is written afterwards."""

    def view(environ: Environ, session: Session) -> str:
        write(session)
        Walker(app).follow(f"/end;jsessionid={session.id}")
        session.commit()
        write(session)
        return encode_url(environ, "x")

    app = site({"/login": log_in, "/view": view, "/end": lambda environ, session: session.invalidate()})
    text = Walker(app).follow("/login").text
    assert ids_in(Walker(app).follow(f"/view;jsessionid={text}").text) == [""]


def test_withheld() -> None:
    """A late request with an id that was just moved creates nothing, and its links promise no session."""
    views = {"/login": log_in, "/move": linking(lambda s: s.change_id()), "/late": linking(write)}
    walker = Walker(site(views))
    text = walker.follow("/login").text
    walker.follow(f"/move;jsessionid={text}")
    answer = walker.follow(f"/late;jsessionid={text}")
    assert (ids_in(answer.text)[1], answer.set_cookie) == ("", None)


def test_untouched(memcached: Memcached) -> None:
    """An untouched request passes on the well-signed id that it brought, at no memcached command."""
    walker, text = walker_on(linking(None), nodes=memcached.node)
    before = commands(memcached)
    assert ids_in(walker.follow(f"/view;jsessionid={text}").text) == [text, text]
    assert ids_in(walker.submit("/view", f"jsessionid={text}".encode()).text) == [text, text]
    assert ids_in(walker.follow("/view;jsessionid=" + "0" * 64).text) == ["", ""]
    unknown = IDS.new().text
    assert ids_in(walker.follow(f"/view;jsessionid={unknown}").text) == [unknown, unknown]
    assert sent(memcached, before) == Commands(0, 0, 0)


def test_links_cost_nothing(memcached: Memcached) -> None:
    """A hundred links of a session that was read cost no memcached command beyond the read."""
    walker, text = walker_on(linking(len, *[None] * 100), nodes=memcached.node)
    before = commands(memcached)
    assert set(ids_in(walker.follow(f"/view;jsessionid={text}").text)) == {text}
    assert sent(memcached, before) == Commands(1, 0, 0)


def test_forged_id_is_counted_once() -> None:
    """An id is verified once for all the links of an untouched request."""
    app = bare(page_of_links(100), tracking=("url",))
    Walker(app).follow("/;jsessionid=" + "0" * 64)
    assert app.stats()["ids_forged"] == 1


def page_of_links(number: int) -> Any:
    """Return an application that writes links."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [encode_url(environ, "x").encode() for _ in range(number)]

    return app


def test_streaming() -> None:
    """A body that is still written when the headers have left goes on with the same id."""

    def app(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/login":
            get_session(environ)["user"] = "u"
        start_response("200 OK", [("Content-Type", "text/plain")])

        def body() -> Iterable[bytes]:
            for _ in range(3):
                yield f"{encode_url(environ, 'x')} {hidden_field(environ)[-70:-2]}\n".encode()

        return body()

    walker = Walker(checked(app, tracking=ALL))
    answer = walker.follow("/login")
    text = cookie_of(answer)
    assert answer.text.count(f"x;jsessionid={text}") == 3
    assert Walker(walker.app).follow(f"/;jsessionid={text}").text.count(text) >= 3


CRAWLERS = ["Googlebot/2.1", "Mozilla/5.0 (compatible; bingbot/2.0)", "Yahoo! Slurp", "Baiduspider", "My-Crawler"]


@pytest.mark.parametrize("agent", CRAWLERS)
def test_crawlers(agent: str) -> None:
    """Crawlers, which would publish them, get no ids in URLs and forms."""
    view: View = lambda environ, session: f"{session.ensure_id()} {encode_url(environ, 'x')} {hidden_field(environ)}"  # noqa: E731
    walker = Walker(site({"*": view}), HTTP_USER_AGENT=agent)
    assert walker.follow("/").text.split()[1:] == ["x"]


@pytest.mark.parametrize(
    ("agent", "crawlers", "gets"),
    [("Robotics Weekly Reader", None, True), ("Googlebot", "", True), ("curl/8", "curl", False)],
)
def test_who_is_a_crawler(agent: str, crawlers: str | None, gets: bool) -> None:
    """Who is a crawler is an option; a browser is none by default."""
    options: dict[str, Any] = {} if crawlers is None else {"crawlers": crawlers}
    walker = Walker(site({"*": linking(write)}, **options), HTTP_USER_AGENT=agent)
    assert (ids_in(walker.follow("/").text)[1] != "") is gets


def test_sticky() -> None:
    """With sticky routes an id that came by URL with another node's route is re-issued in the links of the answer."""
    node = Memcached("n1")
    try:
        one, two = (
            site({"/login": log_in, "/view": linking(None, len, write)}, nodes=node.node, sticky=True, route=route)
            for route in ("web1", "web2")
        )
        text = Walker(one).follow("/login").text
        assert text.endswith(".web1")
        walker = Walker(two)
        assert ids_in(walker.follow(f"/view;jsessionid={text}").text) == [text, text, *[text[:-1] + "2"] * 2]
        assert walker.follow(f"/view;jsessionid={text}").set_cookie is None
        assert ids_in(walker.follow(f"/view;jsessionid={text[:-1]}2").text) == [text[:-1] + "2"] * 4
    finally:
        node.kill()


@pytest.mark.parametrize("encode", [encode_url, encode_redirect_url])
def test_without_middleware(encode: Callable[[Environ, str], str]) -> None:
    """Without a middleware around, links stay and forms get no field."""
    assert encode({}, "/x") == "/x"
    assert hidden_field({}) == ""
