"""Promise 1: only ids that the server made; a forged one never reaches memcached, and nothing in a header is a 500."""

from __future__ import annotations

import time

import pytest
from servers import Memcached
from webclient import SECRET, Client, Commands, commands, pages, put, sent, show

from sharedsession.ids import IdFactory

PREFIX = "sharedsession:"
#: Makes well-signed ids that nothing is stored under.
IDS = IdFactory((SECRET.encode(),), PREFIX, "")

MALFORMED = {
    "empty": "",
    "short": "0" * 63,
    "long": "0" * 65,
    "tomcat's": "0123456789ABCDEF0123456789ABCDEF",
    "upper case": "A" * 64,
    "10 kB": "a" * 10_000,
    "10 kB of blanks": " " * 10_000 + '"x',
    "10 kB of separators": ";\t" * 5_000,
    "10 kB of names": "JSESSIONID" * 1_000,
    "CR LF": "a\r\nSet-Cookie: x=y",
    "NUL": "\0" * 64,
    "non-ASCII": "\xe9" * 64,
    "other digits": "\u0661".encode().decode("latin-1") * 32,
    "one quote": '"' + "0" * 64,
    "quotes inside": '0"0',
    "newline at the end": "0" * 64 + "\n",
    "route with a blank": "0" * 64 + ".web 1",
    "route too long": "0" * 64 + "." + "w" * 33,
    "no route after the dot": "0" * 64 + ".",
    "path": "../../etc/passwd",
    "memcached key": "sharedsession:" + "0" * 64,
    "format text": "%s%n{0}",
    "percent-encoded": "%30" * 64,
}
FORGED = {
    "all zero": "0" * 64,
    "with a route": "0" * 64 + ".web1",
    "another secret": IdFactory((b"quite another secret",), PREFIX, "").new().text,
    "another key prefix": IdFactory((SECRET.encode(),), "other:", "").new().text,
}


@pytest.fixture
def client(memcached: Memcached) -> Client:
    """Return a client without a session; /login makes one, /show reads."""
    return Client(pages({"/login": put("a", 1), "/show": show}, nodes=memcached.node))


@pytest.mark.parametrize("text", [*MALFORMED.values(), *FORGED.values()], ids=[*MALFORMED, *FORGED])
def test_malformed_or_forged(client: Client, memcached: Memcached, text: str) -> None:
    """A malformed or forged id reads as no session, costs no memcached command and is never adopted."""
    before = commands(memcached)
    answer = client.get("/show", cookie=f"JSESSIONID={text}")
    assert (answer.status, answer.text, answer.set_cookie) == (200, "{}", None)
    assert sent(memcached, before) == Commands(0, 0, 0)

    assert client.get("/login", cookie=f"JSESSIONID={text}").status == 200
    assert client.id not in text
    assert client.get("/show").text == "{'a': 1}"


def test_unknown(client: Client, memcached: Memcached) -> None:
    """A well-signed id that nothing is stored under costs one read and is not adopted."""
    unknown = IDS.new().text
    before = commands(memcached)
    client.get("/login", cookie=f"JSESSIONID={unknown}")
    assert sent(memcached, before) == Commands(1, 1, 0)
    assert client.id != unknown
    assert client.get("/show", cookie=f"JSESSIONID={unknown}").text == "{}"


def test_expired(client: Client, memcached: Memcached) -> None:
    """The id of a session that memcached has let expire is not adopted for the next one."""
    client.get("/login")
    old = client.id
    memcached.command(f"mg {client.key} T-1".encode())
    assert client.get("/show").text == "{}"
    client.get("/login")
    assert client.id != old
    assert client.get("/show", cookie=f"JSESSIONID={old}").text == "{}"


def test_altered(client: Client, memcached: Memcached) -> None:
    """A live id with one digit changed, in the random part or in the signature, is refused without asking memcached."""
    client.get("/login")
    before = commands(memcached)
    for position in (0, 31, 32, 63):
        digit = "0" if client.id[position] != "0" else "1"
        altered = client.id[:position] + digit + client.id[position + 1 :]
        assert client.get("/show", cookie=f"JSESSIONID={altered}").text == "{}"
    assert sent(memcached, before) == Commands(0, 0, 0)


def test_another_key_prefix(client: Client, memcached: Memcached) -> None:
    """A session of another key prefix is unknown, on the same memcached and with the same secret."""
    client.get("/login")
    client.app = pages({"/show": show}, nodes=memcached.node, key_prefix="other:")
    before = commands(memcached)
    assert client.get("/show").text == "{}"
    assert sent(memcached, before) == Commands(0, 0, 0)


@pytest.mark.parametrize(
    "cookies",
    [
        "JSESSIONID={dead}; JSESSIONID={live}",
        "JSESSIONID=; JSESSIONID={live}",
        "JSESSIONID=%00; other=1; JSESSIONID={live}; JSESSIONID={dead}",
        "JSESSIONID={live}; JSESSIONID={dead}",
        'a="b;c"; ===; \xff; JSESSIONID={live}',
        "JSESSIONID; JSESSIONID={live}",
        'JSESSIONID="{live}"',
        " ;;; \tJSESSIONID = {live} ;",
        "other=JSESSIONID={dead};JSESSIONID={live}",
        "JSESSIONID={dead},x; JSESSIONID={live}",
    ],
)
def test_a_live_id_counts(client: Client, cookies: str) -> None:
    """A live id is found whatever dead, forged or odd cookies stand around it."""
    client.get("/login")
    header = cookies.format(live=client.id, dead=IDS.new().text)
    assert client.get("/show", cookie=header).text == "{'a': 1}"


@pytest.mark.parametrize(
    "cookies", ["jsessionid={live}", "XJSESSIONID={live}", "JSESSIONIDX={live}", "x=JSESSIONID={live}"]
)
def test_another_cookie(client: Client, cookies: str) -> None:
    """A live id in a cookie of another name is not looked at."""
    client.get("/login")
    assert client.get("/show", cookie=cookies.format(live=client.id)).text == "{}"


def test_most_well_signed_ids(client: Client, memcached: Memcached) -> None:
    """Of many well-signed ids five are asked for, so that a stolen list cannot be tried in one request."""
    client.get("/login")
    dead = [f"JSESSIONID={IDS.new().text}" for _ in range(7)]
    live = f"JSESSIONID={client.id}"
    assert client.get("/show", cookie="; ".join([*dead[:4], live])).text == "{'a': 1}"
    before = commands(memcached)
    assert client.get("/show", cookie="; ".join([*dead, live])).text == "{}"
    assert sent(memcached, before) == Commands(5, 0, 0)


def test_repeated_ids_count_once(client: Client, memcached: Memcached) -> None:
    """The same dead id sent many times is asked for once and does not hide a live one."""
    client.get("/login")
    dead = f"JSESSIONID={IDS.new().text}"
    before = commands(memcached)
    assert client.get("/show", cookie="; ".join([*[dead] * 20, f"JSESSIONID={client.id}"])).text == "{'a': 1}"
    assert sent(memcached, before).reads == 3  # both ids, then the live one's life: a dead one must not be prolonged


@pytest.mark.parametrize(("forged", "found"), [(99, True), (100, False), (2000, False)])
def test_many_forged_cookies(client: Client, forged: int, found: bool) -> None:
    """Of hundreds of cookies of our name the first hundred are looked at: a live one among them counts."""
    client.get("/login")
    header = "; ".join([*[f"JSESSIONID={'0' * 64}"] * forged, f"JSESSIONID={client.id}"])
    assert client.get("/show", cookie=header).text == ("{'a': 1}" if found else "{}")


@pytest.mark.parametrize(
    "header",
    ["JSESSIONID=" + " " * 60_000 + '"x', "JSESSIONID=" + "\t" * 60_000 + "x", "; \t" * 20_000, "JSESSIONID" * 6_000],
    ids=["blanks", "tabs", "separators", "names"],
)
def test_hostile_header_costs_no_time(client: Client, header: str) -> None:
    """A 60 kB Cookie header made to slow a pattern down costs well under a tenth of a second of CPU."""
    client.get("/show")
    begun = time.process_time()
    assert client.get("/show", cookie=header).text == "{}"
    assert time.process_time() - begun < 0.1
