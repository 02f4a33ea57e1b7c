"""Which of several ids counts: cookie before URL before form, and what kills an id in URLs."""

from __future__ import annotations

import pytest
from webclient import Answer, checked, page

from sharedsession import encode_url, hidden_field
from sharedsession.session import Session
from tracking.walker import ALL, IDS, Environ, Walker, cookie_of, site, who

UNKNOWN = IDS.new().text
FORGED = "0" * 64


def log_in(environ: Environ, session: Session) -> str:
    """Store who asks; answer with the id."""
    session["user"] = environ["QUERY_STRING"]
    return session.ensure_id()


def relink(environ: Environ, session: Session) -> str:
    """Answer with the user, a link and a field."""
    return f"{session.get('user')} {encode_url(environ, 'x')} {hidden_field(environ)}"


def change(environ: Environ, session: Session) -> str:
    """Change the id; answer with the new one."""
    session.change_id()
    return session.ensure_id()


@pytest.fixture
def walker() -> Walker:
    """Return a client of an application with all kinds of ids."""
    views = {
        "/login": log_in,
        "/who": who,
        "/relink": relink,
        "/change": change,
        "/quiet": quiet,
        "/end": end,
        "/put": put,
    }
    return Walker(site(views))


def quiet(environ: Environ, session: Session) -> str:
    """Answer with a link, the session untouched."""
    return encode_url(environ, "x")


def put(environ: Environ, session: Session) -> str:
    """Store something, then answer with a link and a field."""
    session["user"] = 1
    return relink(environ, session)


def end(environ: Environ, session: Session) -> str:
    """End the session."""
    session.invalidate()
    return ""


def ids(walker: Walker, *names: str) -> list[str]:
    """Return the ids of new sessions of these users."""
    return [walker.follow(f"/login?{name}").text for name in names]


def ask(walker: Walker, path: str, *, cookie: str = "", url: str = "", form: str = "", **more: str) -> Answer:
    """Ask with ids of several kinds; texts in `url` come one after the other."""
    headers = {"HTTP_COOKIE": f"JSESSIONID={cookie}"} if cookie else {}
    target = path + "".join(f";jsessionid={text}" for text in url.split())
    return walker.follow(target, body=f"jsessionid={form}".encode() if form else b"", **headers, **more)


#: Which sessions the cookie, the URL and the form name ("?" unknown, "!" forged), and which one is served.
ORDER = [
    ("a", "b", "c", "a by cookie"),
    ("a", "b", "", "a by cookie"),
    ("a", "", "c", "a by cookie"),
    ("", "b", "c", "b by url"),
    ("", "", "c", "c by form"),
    ("?", "b", "c", "b by url"),
    ("!", "b", "c", "b by url"),
    ("?", "?", "c", "c by form"),
    ("!", "!", "c", "c by form"),
    ("x", "y", "c", "c by form"),
    ("?", "!", "?", "None by None"),
    ("", "? b", "", "b by url"),
    ("", "b ?", "", "b by url"),
    ("", "b ! !", "c", "b by url"),
    ("", "a b", "", "b by url"),
    ("a", "a", "a", "a by cookie"),
]


@pytest.mark.parametrize(("cookie", "url", "form", "served"), ORDER)
def test_order(walker: Walker, cookie: str, url: str, form: str, served: str) -> None:
    """A live cookie wins, then the newest live id of the URL, then a live field; a dead one hides nothing behind it."""
    texts = {"?": UNKNOWN, "!": FORGED, "x": "", "y": "a" * 10_000, "": ""}
    texts |= dict(zip("abc", ids(walker, "a", "b", "c"), strict=True))
    in_url = " ".join(texts[name] for name in url.split())
    assert ask(walker, "/who", cookie=texts[cookie], url=in_url, form=texts[form]).text == served


def test_ended_hides_nothing(walker: Walker) -> None:
    """The id of an ended session in a cookie does not hide a live one in the URL."""
    a, b = ids(walker, "a", "b")
    ask(walker, "/end", cookie=a)
    assert ask(walker, "/who", cookie=a, url=b).text == "b by url"


@pytest.mark.parametrize("path", ["/who", "/relink"])
def test_dead_once_seen_in_a_cookie(walker: Walker, path: str) -> None:
    """An id that has come back in a cookie is dead in URLs and forms, for good, and counts on in the cookie."""
    (a,) = ids(walker, "a")
    assert ask(walker, "/who", url=a).text == "a by url"
    ask(walker, path, cookie=a)
    for _ in range(2):
        assert ask(walker, "/who", url=a).text == "None by None"
        assert ask(walker, "/who", form=a).text == "None by None"
        assert ask(walker, "/who", cookie=a).text == "a by cookie"
    (b,) = ids(walker, "b")
    assert ask(walker, "/who", url=f"{b} {a}").text == "b by url"


def test_dead_after_change_id(walker: Walker) -> None:
    """After change_id the old id is dead everywhere, and the new one counts by URL until a cookie brings it."""
    (a,) = ids(walker, "a")
    new = ask(walker, "/change", url=a).text
    assert ask(walker, "/who", url=a).text == "None by None"
    assert ask(walker, "/who", url=new).text == "a by url"
    assert ask(walker, "/who", cookie=new).text == "a by cookie"
    assert ask(walker, "/who", url=new).text == "None by None"


def test_dead_after_change_id_of_a_cookie(walker: Walker) -> None:
    """An id that replaces one seen in a cookie is dead in URLs from the beginning."""
    (a,) = ids(walker, "a")
    new = ask(walker, "/change", cookie=a).text
    assert ask(walker, "/who", url=new).text == "None by None"
    assert ask(walker, "/who", cookie=new).text == "a by cookie"


@pytest.mark.parametrize("cookie", [UNKNOWN, "live"], ids=["dead", "live"])
def test_cookie_clients_get_clean_urls(walker: Walker, cookie: str) -> None:
    """A client that has shown a well-signed cookie takes cookies: its URLs and forms carry no id."""
    cookie = ids(walker, "a")[0] if cookie == "live" else cookie
    for path in ("/relink", "/quiet"):
        assert "jsessionid" not in ask(walker, path, cookie=cookie).text


def test_new_session_of_a_cookie_client(walker: Walker) -> None:
    """A client whose well-signed cookie is dead gets the new session's id as cookie, and not in its links."""
    answer = ask(walker, "/put", cookie=UNKNOWN)
    assert answer.text.split() == ["1", "x"]
    assert cookie_of(answer) not in ("", UNKNOWN)


def test_url_beside_cookie_is_clean(walker: Walker) -> None:
    """A live cookie beside an id in the URL: links carry neither."""
    a, b = ids(walker, "a", "b")
    assert ask(walker, "/relink", cookie=a, url=b).text.split() == ["a", "x"]


@pytest.mark.parametrize("kind", ["url", "form"])
def test_other_site(walker: Walker, kind: str) -> None:
    """A link or a form on another site does not choose the session, and its id is not passed on."""
    (a,) = ids(walker, "a")
    for site_header, served in [("cross-site", "None"), ("same-site", "a"), ("same-origin", "a"), ("none", "a")]:
        more = {"HTTP_SEC_FETCH_SITE": site_header}
        assert ask(walker, "/who", **{kind: a}, **more).text.split()[0] == served
        assert (a in ask(walker, "/quiet", **{kind: a}, **more).text) == (served == "a")


def test_other_site_with_cookie(walker: Walker) -> None:
    """A cookie counts wherever the link stood: that is for its SameSite attribute to decide."""
    (a,) = ids(walker, "a")
    assert ask(walker, "/who", cookie=a, HTTP_SEC_FETCH_SITE="cross-site").text == "a by cookie"


def test_other_site_is_still_stripped(walker: Walker) -> None:
    """An id that is refused is out of the application's sight all the same."""
    assert ask(walker, "/who", url=UNKNOWN, HTTP_SEC_FETCH_SITE="cross-site").text == "None by None"


@pytest.mark.parametrize("kind", ["url", "form"])
@pytest.mark.parametrize("path", ["/who", "/relink", "/login", "/quiet"])
def test_never_promoted(walker: Walker, kind: str, path: str) -> None:
    """An id from a URL or form is not put into a cookie, whatever the application reads and writes."""
    (a,) = ids(walker, "a")
    assert ask(walker, path, **{kind: a}).set_cookie is None


@pytest.mark.parametrize("kind", ["url", "form"])
def test_change_id_promotes(walker: Walker, kind: str) -> None:
    """The new id of change_id goes into a cookie."""
    (a,) = ids(walker, "a")
    answer = ask(walker, "/change", **{kind: a})
    assert cookie_of(answer) == answer.text != a


def test_never_promoted_by_age() -> None:
    """A cookie with an age, which is sent again and again, is not sent for an id that came by URL."""
    app = site({"/login": log_in, "/who": who}, cookie_max_age=100)
    walker = Walker(app)
    (a,) = ids(walker, "a")
    assert ask(walker, "/who", url=a).set_cookie is None
    assert cookie_of(ask(walker, "/who", cookie=a)) == a


def test_end_by_url(walker: Walker) -> None:
    """Ended by a client that shows its id in the URL, a session is over, and no id is sent."""
    (a,) = ids(walker, "a")
    assert cookie_of(ask(walker, "/end", url=a)) == ""
    assert ask(walker, "/who", url=a).text == "None by None"


def test_cookies_alone_bind_nothing() -> None:
    """Where only cookies travel a read stays one read: nothing is written to mark the id as a cookie's."""
    app = checked(page(lambda session: session.is_new), tracking=("cookie",))
    assert Walker(app).follow("/").text == "True"
    assert ALL[0] == "cookie"
