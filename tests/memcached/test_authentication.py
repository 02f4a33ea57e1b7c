"""User name and password for memcached (its -Y), over TCP, unix sockets and TLS."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Authority
from scripted import Dialog, Script, ScriptedServer
from servers import Memcached, StartMemcached, on_unix_socket, speaks_tls, tls_options
from test_membership import listed, serving, wait_until
from webclient import Client, logged_in, page, pages, put, show

from sharedsession import ConfigError, Session, SessionConfig, SessionMiddleware, StoreUnavailableError
from sharedsession.__main__ import main
from sharedsession.assembly import Parts, assemble
from sharedsession.memcached.access import Access
from sharedsession.memcached.commands import Answer, Command, Failed, Found, Get, Missing, Ping, Put, Stored
from sharedsession.settings import build_config, read_environment

Serve = Callable[[Script], ScriptedServer]
StartLocked = Callable[..., Memcached]

SECRET = "a secret that only these tests know"
PASSWORD = "Pa55-of-the-shop"
OTHER = "another-Pa55"
USER: dict[str, Any] = {"memcached_username": "shop", "memcached_password": PASSWORD}
PATIENT = {"connect_timeout": 20, "timeout": 20}


@pytest.fixture
def start_locked(start_memcached: StartMemcached, tmp_path: Path) -> StartLocked:
    """Return a function that starts a memcached which serves only those who know the password."""
    file = tmp_path / "memcached.users"
    file.write_text(f"bank:{OTHER}\nshop:{PASSWORD}\n")
    user = reader_of(file)

    def start(name: str = "n1", options: tuple[str, ...] = ()) -> Memcached:
        return start_memcached(name, ("-Y", str(file), *user, *options))

    return start


def reader_of(file: Path) -> tuple[str, ...]:
    """Return the options of a memcached that may read a file of ours: it does so as the user it becomes."""
    return ("-u", file.owner()) if os.geteuid() == 0 else ()


@pytest.fixture
def reach() -> Iterator[Callable[..., Parts]]:
    """Return a function that builds the parts of an application, closed when the test ends."""
    built: list[Parts] = []

    def build(nodes: str, **options: Any) -> Parts:
        built.append(assemble(SessionConfig(secret_key=SECRET, nodes=nodes, **{**PATIENT, **options})))
        return built[-1]

    yield build
    for parts in built:
        parts.close()


def ask(parts: Parts, command: Command, node: str = "n1") -> Answer:
    """Return a node's answer."""
    return parts.transport.ask([(node, command)])[0]


def stats(server: Memcached, user: str = "shop", password: str = PASSWORD) -> dict[str, int]:
    """Return the numeric statistics of a server that wants to know who asks."""
    payload = f"{user} {password}"
    reply = server.command(f"set auth 0 0 {len(payload)}\r\n{payload}\r\nstats".encode()).decode()
    fields = [line.split() for line in reply.splitlines()]
    return {field[1]: int(field[2]) for field in fields if len(field) == 3 and field[2].isdigit()}


# -- who may -----------------------------------------------------------------------------------------------------------


def test_sessions_on_nodes_that_want_a_password(start_locked: StartLocked) -> None:
    """What one application node writes another reads, before and after a memcached node was killed and restarted."""
    servers = [start_locked(name) for name in ("n1", "n2")]
    views = {"/login": put("a", 1), "/put": put("b", 2), "/show": show}
    apps = [serving(views, listed(servers), **USER, **PATIENT) for _ in range(2)]
    client = logged_in(apps[0])
    for server in servers:
        client.app = apps[1]
        assert client.get("/show").text == "{'a': 1}"
        server.kill()
        client.app = apps[0]
        assert client.get("/show").text == "{'a': 1}"
        server.start()
        wait_until(lambda: all(node.up for node in apps[0].health()))
    client.get("/put")
    client.app = apps[1]
    assert client.get("/show").text == "{'a': 1, 'b': 2}"


@pytest.mark.skipif(not speaks_tls(), reason="this memcached was built without TLS")
def test_tls_and_password(start_locked: StartLocked, reach: Callable[..., Parts], tmp_path: Path) -> None:
    """A server may want TLS, a certificate and a password; the password goes through TLS only."""
    authority = Authority(tmp_path)
    client, files = authority.issue("client"), {"tls": True, "tls_ca": authority.ca}
    server = start_locked("n1", tls_options(*authority.issue(), client_ca=authority.ca))
    shown = {"tls_certificate": client.certificate, "tls_key": client.key}
    parts = reach(server.node, **files, **shown, **USER)
    value = os.urandom(200 * 1024)
    assert isinstance(ask(parts, Put("k", value, 60, None)), Stored)
    found = ask(parts, Get("k", 60))
    assert isinstance(found, Found)
    assert found.value == value
    for less in ({**files, **shown}, {**files, **USER}, USER):
        assert isinstance(ask(reach(server.node, **less), Get("k", None)), Failed)


@pytest.mark.parametrize("user", [("shop", OTHER), ("bank", PASSWORD), ("nobody", PASSWORD)])
def test_a_wrong_password_takes_the_node_down(
    start_locked: StartLocked, caplog: pytest.LogCaptureFixture, user: tuple[str, str]
) -> None:
    """A node that refuses the user name or password counts as failed; the log says why, and shows neither."""
    server = start_locked()
    options: dict[str, Any] = {"memcached_username": user[0], "memcached_password": user[1], **PATIENT}
    errors: list[StoreUnavailableError] = []

    def view(session: Session) -> None:
        session["a"] = 1
        try:
            session.commit()
        except StoreUnavailableError as error:
            errors.append(error)
            raise

    application = SessionMiddleware(page(view), secret_key=SECRET, nodes=server.node, **options)
    with caplog.at_level(logging.DEBUG):
        answer = Client(application).get()
    assert answer.status == 503
    assert [node.up for node in application.health()] == [False]
    assert "node n1 marked down: ProtocolError: it refused the user name or password" in caplog.text
    assert "it refused the user name or password" in str(errors[0])
    everything = f"{caplog.text} {answer} {application.stats()} {application.parts} {errors[0]} {errors[0]!r}"
    assert user[1] not in everything


def test_a_server_that_wants_a_password_says_so(start_locked: StartLocked, reach: Callable[..., Parts]) -> None:
    """Without a password in the options, the reason names the options that are missing."""
    answer = ask(reach(start_locked().node), Get("k", None))
    assert isinstance(answer, Failed)
    assert "it wants a user name and password (memcached_username, memcached_password)" in answer.reason


def test_unix_sockets_want_the_password_too(tmp_path: Path, socket_path: Path, reach: Callable[..., Parts]) -> None:
    """A memcached on a unix socket may want a password, and gets it."""
    users = tmp_path / "users"
    users.write_text(f"shop:{PASSWORD}\n")
    with on_unix_socket(socket_path, ("-Y", str(users))):
        assert isinstance(ask(reach(f"n1:unix:{socket_path}", **USER), Put("k", b"v", 60, None)), Stored)
        assert isinstance(ask(reach(f"n1:unix:{socket_path}"), Get("k", None)), Failed)


def test_the_command_knows_the_password(
    start_locked: StartLocked, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sharedsession nodes` and `sharedsession sweep` take the password from the environment, and print none."""
    servers = [start_locked(name) for name in ("n1", "n2", "n3")]
    logged_in(pages({"/login": put("a", 1)}, nodes=listed(servers[:2]), **USER, **PATIENT))
    for name, value in {**USER, **PATIENT, "nodes": listed(servers[1:]), "secret_key": SECRET}.items():
        monkeypatch.setenv(f"SHAREDSESSION_{name.upper()}", str(value))
    assert main(["nodes"]) == 0
    assert main(["sweep", servers[0].node]) == 0
    assert "1 carried" in capsys.readouterr().out
    monkeypatch.setenv("SHAREDSESSION_MEMCACHED_PASSWORD", OTHER)
    assert main(["nodes"]) == 1
    assert main(["sweep", servers[0].node]) == 1
    told = capsys.readouterr()
    assert "refused the user name or password" in told.out
    assert "refused the user name or password" in told.err
    assert OTHER not in told.out + told.err


# -- how ---------------------------------------------------------------------------------------------------------------


def test_the_password_costs_no_round_trip(serve: Serve, reach: Callable[..., Parts]) -> None:
    """Password, greeting and the first command leave together; the server may answer all of them at the end."""

    def script(dialog: Dialog) -> None:
        for _ in range(4):
            dialog.command()
        dialog.send(b"STORED\r\nMN\r\nEN %O\r\n")
        dialog.command()
        dialog.send(b"EN %O\r\n")
        dialog.wait_for_hang_up()

    server = serve(script)
    parts = reach(f"n1:127.0.0.1:{server.port}", **USER)
    assert isinstance(ask(parts, Get("k", None)), Missing)
    assert isinstance(ask(parts, Get("k", None)), Missing)
    assert server.log == [
        b"set sharedsession:authentication 0 -1 21\r\n",
        f"shop {PASSWORD}\r\n".encode(),
        b"mn\r\n",
        b"mg k v c t O1\r\n",
        b"mg k v c t O2\r\n",
    ]


def test_the_password_is_sent_once_on_each_connection(start_locked: StartLocked, reach: Callable[..., Parts]) -> None:
    """Twenty commands on one connection need one authentication; the probe, on a connection of its own, another."""
    server = start_locked()
    parts = reach(server.node, **USER)
    before = stats(server)["auth_cmds"]
    for _ in range(20):
        assert isinstance(ask(parts, Get("k", None)), Missing)
    assert isinstance(ask(parts, Ping()), Stored)
    after = stats(server)
    assert after["auth_cmds"] - before == 3  # the last by this question
    assert after["auth_errors"] == 0


def test_a_server_without_authentication_keeps_no_password(memcached: Memcached, reach: Callable[..., Parts]) -> None:
    """A server that was started without -Y takes the password for a value; it serves, and has it no more."""
    parts = reach(memcached.node, **USER)
    assert isinstance(ask(parts, Put("k", b"v", 60, None)), Stored)
    assert memcached.command(b"mg sharedsession:authentication v") == b"EN\r\n"


def test_a_server_that_echoes_puts_no_password_into_the_log(serve: Serve, reach: Callable[..., Parts]) -> None:
    """What a server says to the password is not repeated: it may be the password."""

    def script(dialog: Dialog) -> None:
        dialog.command()
        dialog.send(dialog.command())
        dialog.wait_for_hang_up()

    answer = ask(reach(f"n1:127.0.0.1:{serve(script).port}", **USER), Get("k", None))
    assert isinstance(answer, Failed)
    assert "refused the user name or password" in answer.reason
    assert PASSWORD not in answer.reason


# -- the options -------------------------------------------------------------------------------------------------------


def test_the_password_is_in_no_repr() -> None:
    """Neither the configuration nor what is made of it shows the password."""
    config = SessionConfig(secret_key=SECRET, nodes="n1:127.0.0.1", **USER)
    parts = assemble(config)
    shown = (
        f"{config!r} {config} {parts!r} {parts.reach!r} {parts.transport!r} {Access(username='a', password=PASSWORD)}"
    )
    parts.close()
    assert PASSWORD not in shown
    assert "shop" in shown


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"memcached_username": "shop"}, "memcached_password"),
        ({"memcached_password": PASSWORD}, "memcached_username"),
        ({**USER, "memcached_username": "the shop"}, "memcached_username"),
        ({**USER, "memcached_username": "shop:1"}, "memcached_username"),
        ({**USER, "memcached_username": "x" * 101}, "memcached_username"),
        ({**USER, "memcached_password": PASSWORD + " "}, "memcached_password"),
        ({**USER, "memcached_password": PASSWORD + "\r\nflush_all"}, "memcached_password"),
        ({**USER, "memcached_password": PASSWORD + "ä"}, "memcached_password"),
        ({**USER, "memcached_password": PASSWORD * 20}, "memcached_password"),
        ({**USER, "memcached_password": [PASSWORD]}, "memcached_password"),
        ({**USER, "memcached_password": PASSWORD.encode()}, "memcached_password"),
    ],
)
def test_what_memcached_cannot_take_is_refused(options: dict[str, Any], option: str) -> None:
    """A user name or password that memcached's file or protocol cannot hold is refused at start-up, and not shown."""
    with pytest.raises(ConfigError) as caught:
        SessionConfig(secret_key=SECRET, nodes="n1:127.0.0.1", **options)
    assert caught.value.option == option
    assert PASSWORD not in str(caught.value)


def test_the_longest_names_fit(start_memcached: StartMemcached, tmp_path: Path, reach: Callable[..., Parts]) -> None:
    """The longest user name and password that are taken are those that memcached's file has room for."""
    user = {"memcached_username": "u" * 100, "memcached_password": "p!~" * 50}
    users = tmp_path / "users"
    users.write_text(f"{user['memcached_username']}:{user['memcached_password']}\nshop:{PASSWORD}\n")
    server = start_memcached("n1", ("-Y", str(users), *reader_of(users)))
    assert isinstance(ask(reach(server.node, **user), Ping()), Stored)
    assert isinstance(ask(reach(server.node, **USER), Ping()), Stored)


def test_options_come_from_the_environment() -> None:
    """Every option of TLS and authentication can be text."""
    texts = {
        "TLS": "true",
        "TLS_CA": "/etc/ca.pem",
        "TLS_CERTIFICATE": "/etc/web1.pem",
        "TLS_KEY": "/etc/web1.key",
        "TLS_SERVER_NAME": "cache.example",
        "MEMCACHED_USERNAME": "shop",
        "MEMCACHED_PASSWORD": PASSWORD,
    }
    config = build_config(
        {"secret_key": SECRET}, read_environment({f"SHAREDSESSION_{name}": text for name, text in texts.items()})
    )
    assert config.tls is True
    assert [getattr(config, name.lower()) for name in list(texts)[1:]] == list(texts.values())[1:]
