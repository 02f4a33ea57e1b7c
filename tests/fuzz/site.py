"""An application in the real middleware, with every way of tracking, and what must hold of each request.

In its store are sessions of three users, one that has ended, and ids that nothing is stored under. Which session a
request may see, and of which keys the store may be asked, is worked out here a second time, from plain rules.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import re
import string
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from tracking.walker import HOST
from webclient import SECRET, Answer, Server
from werkzeug.test import create_environ

from sharedsession import SessionMiddleware, encode_url, get_session, hidden_field
from sharedsession.assembly import VALUES, Reach, assemble
from sharedsession.config import SessionConfig
from sharedsession.memcached.commands import Answer as Reply
from sharedsession.memcached.commands import Command, Get, Put
from sharedsession.memcached.health import AlwaysUp
from sharedsession.memory import MemoryTransport
from sharedsession.record import Changes
from sharedsession.stats import Stats

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

FORMER = "the former secret of these tests"
PREFIX = "sharedsession:"
#: Well-signed ids of one kind that count: the manager's limit.
MOST_IDS = 5
ROUTE = "web1"

_ID = re.compile(rb"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_SENT_ID = re.compile(r"(?i:jsessionid=|value=\")([0-9a-f]{64})")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: RFC 9110 5.5: visible characters, blanks and tabs inside, obsolete text.
_HEADER_VALUE = re.compile(r"[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?|")
_SET_COOKIE = re.compile(
    r"JSESSIONID=([0-9a-f]{64}\.web1)?(?:; (?:Expires=[A-Za-z0-9 ,:]+|Max-Age=0|Secure|HttpOnly|SameSite=Lax|"
    r"Path=[\x21-\x3a\x3c-\x7e]+))*"
)


# -- the rules once more -------------------------------------------------------------------------------------------


def token_of(text: str) -> str | None:
    """Return the random part of a well-signed id, None for any other text."""
    signed, dot, route = text.partition(".")
    if len(signed) != 64 or not set(signed) <= set("0123456789abcdef"):
        return None
    if dot and not (1 <= len(route) <= 32 and set(route) <= set(string.ascii_letters + string.digits + "_")):
        return None
    return signed[:32] if signed[32:] in (mac(SECRET, signed[:32]), mac(FORMER, signed[:32])) else None


@lru_cache(10_000)
def mac(secret: str, token: str) -> str:
    """Return the MAC of an id's random part."""
    key = hmac.digest(secret.encode(), f"sharedsession.id.v1:{PREFIX}".encode(), "sha256")
    return hashlib.blake2b(token.encode(), key=key, digest_size=16).hexdigest()


def key_of(token: str) -> str:
    """Return the storage key of a session."""
    return PREFIX + hashlib.sha256(token.encode()).hexdigest()


def counting(texts: Iterable[str]) -> list[str]:
    """Return the random parts of the well-signed ids that count, each once."""
    tokens = [token for text in texts if (token := token_of(text)) is not None]
    return list(dict.fromkeys(tokens))[:MOST_IDS]


# -- the site ------------------------------------------------------------------------------------------------------


def _token(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


USERS = {_token(name): name for name in ("alice", "bob", "carol")}
ALICE, BOB, CAROL = USERS
ENDED, UNKNOWN = _token("ended"), _token("unknown")
IDS = {name: _token(name) + mac(SECRET, _token(name)) for name in ("alice", "bob", "ended", "unknown")}
IDS["carol"] = CAROL + mac(FORMER, CAROL)  # to be issued anew
IDS["forged"] = ALICE + "0" * 32
IDS["another secret's"] = ALICE + mac("a secret that is not ours", ALICE)


class Store(MemoryTransport):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(clock=float)
        self.asked: list[Command] = []

    def ask(self, requests: Sequence[tuple[str, Command]], enough: int = 1) -> list[Reply]:
        """Do every command."""
        self.asked += [command for _, command in requests]
        return super().ask(requests, enough)

    def keys(self, kind: type[Get | Put], *, adding: bool = False) -> set[str]:
        """Return the keys of the commands of a kind; those that add a value are told apart."""
        return {
            command.key
            for command in self.asked
            if isinstance(command, kind) and (isinstance(command, Put) and command.token is None) == adding
        }


_ENVIRON = create_environ("/", base_url=f"http://{HOST}/")


def request(**more: Any) -> dict[str, Any]:
    """Return the environ of a request, with these keys besides."""
    return {**_ENVIRON, "wsgi.input": io.BytesIO(), **more}


class Visit(NamedTuple):
    """What came of one request."""

    answer: Answer
    user: str | None
    source: str | None
    #: What the application made of the link it was to encode.
    link: str
    #: Whatever else the application noted.
    noted: object


Note = Callable[[dict[str, Any]], object]


class Site:
    """An application in the middleware, over a store that remembers what it was asked.

    Args:
        trusted_proxies: how many hops of X-Forwarded headers are believed.
    """

    def __init__(self, trusted_proxies: int = 0) -> None:
        config = SessionConfig(
            secret_key=SECRET,
            secret_key_fallbacks=(FORMER,),
            tracking=("cookie", "url", "form"),
            route=ROUTE,
            trusted_proxies=trusted_proxies,
        )
        self.store = Store()
        self._middleware = SessionMiddleware(self._app, config)
        self._middleware.serve_with(assemble(config, reach=Reach(Stats(), self.store, AlwaysUp())))
        self._fill()
        self._stored = dict(self.store._items)
        self._link, self._writes = "", False
        self._note: Note = _nothing
        self._seen: tuple[str | None, str | None, str, object] | None = None

    def _fill(self) -> None:
        store = self._middleware.parts.store
        for token, name in USERS.items():
            store.create(key_of(token), Changes({"user": VALUES.encode("user", name)}), 1800)
        store.end(store.create(key_of(ENDED), Changes(), 1800))

    def visit(
        self, environ: dict[str, Any], shown: bytes, *, link: str = "", writes: bool = False, note: Note | None = None
    ) -> Visit:
        """Serve a request and hold the promises against what happened.

        Args:
            environ: of the request.
            shown: all that the client chose, decoded in every way in which an id may be written.
            link: what the application encodes.
            writes: the application changes its session.
            note: what the application does besides.
        """
        self.store._items = dict(self._stored)
        self.store.asked.clear()
        self._link, self._writes, self._note, self._seen = link, writes, note or _nothing, None
        answer = Server().serve(self._middleware, environ)
        assert answer.status == 200, answer
        assert self._seen is not None
        visit = Visit(answer, *self._seen)
        self._check_store(shown)
        check_headers(answer)
        self._check_privacy(visit, shown)
        return visit

    def _app(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session = get_session(environ)
        noted = self._note(environ)
        user = session.get("user")
        if self._writes:
            session["n"] = 1
        self._seen = user, session.source, encode_url(environ, self._link), noted
        field = str(hidden_field(environ))
        headers = [("Content-Type", "text/html"), *_location(self._link)]
        start_response("200 OK", headers)
        return [field.encode()]

    def _check_store(self, shown: bytes) -> None:
        known = {key_of(token) for token in counting_all(shown)}
        assert self.store.keys(Get) <= known, "asked for an id that nobody signed"
        assert self.store.keys(Put) <= known, "changed a session that nobody showed"
        added = self.store.keys(Put, adding=True)
        assert len(added) <= self._writes, "stored a session for somebody who only reads"
        assert not added & known, "adopted an id"

    def _check_privacy(self, visit: Visit, shown: bytes) -> None:
        if visit.user is not None:
            token = next(token for token, name in USERS.items() if name == visit.user)
            assert token in counting_all(shown), f"a stranger sees the session of {visit.user}"
        for text in (*map("{0[0]}: {0[1]}".format, visit.answer.headers), visit.answer.text, visit.link):
            for found in _SENT_ID.findall(text):
                self._check_id(found, shown)

    def _check_id(self, text: str, shown: bytes) -> None:
        """An id in an answer is the client's own, or a new one that was just stored, or what it wrote into a link."""
        if text.encode() in shown or text in self._link:
            return
        token = token_of(text)
        assert token is not None, "sent an id that is none"
        stored = self.store.keys(Put, adding=True)
        assert key_of(token) in stored or token in counting_all(shown), "sent somebody else's id"


def counting_all(shown: bytes) -> set[str]:
    """Return the random parts of all well-signed ids in what a client showed, wherever they stand."""
    return {token for found in _ID.findall(shown) if (token := token_of(found.decode())) is not None}


def check_headers(answer: Answer) -> None:
    """Hold every header against RFC 9110, and Set-Cookie against what this site may set."""
    for name, value in answer.headers:
        assert _HEADER_NAME.fullmatch(name), name
        assert _HEADER_VALUE.fullmatch(value), (name, value)
    cookies = answer.all("Set-Cookie")
    assert len(cookies) < 2, cookies
    assert all(_SET_COOKIE.fullmatch(cookie) for cookie in cookies), cookies


def _location(link: str) -> list[tuple[str, str]]:
    """A redirect there, if the link can be a header."""
    return [("Location", link)] if link and re.fullmatch(r"[\x21-\x7e]+", link) else []


def _nothing(environ: dict[str, Any]) -> object:
    return None


#: The ids, and what is in every grammar that has ids.
TEXTS = tuple(text.encode() for text in IDS.values())
ID_WORDS = (*TEXTS, *(text + b".web2" for text in TEXTS[:2]), b".", b"a", b"0" * 64, b"%", b"%3B", b"%3b")
