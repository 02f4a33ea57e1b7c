"""The embedded store: one process, no memcached."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from webclient import Client, bare, checked, logged_in, page, pages, put, show

from sharedsession import ConfigError

#: What a server of several processes says.
SEVERAL: dict[str, Any] = {"wsgi.multiprocess": True}


@pytest.mark.parametrize("nodes", [None, "memory"])
def test_sessions_without_memcached(nodes: str | None) -> None:
    """Without nodes, or with "memory", sessions live in this process: made, read, changed and ended."""
    client = logged_in(
        pages(
            {
                "/login": put("a", 1),
                "/show": show,
                "/more": put("b", 2),
                "/move": lambda session: setattr(session, "max_inactive_interval", 60),
                "/logout": lambda session: session.invalidate(),
            },
            nodes=nodes,
        )
    )
    cookie = f"JSESSIONID={client.id}"
    client.get("/more")
    client.get("/move")
    assert client.get("/show").text == "{'a': 1, 'b': 2}"
    assert Client(client.app).get("/show").text == "{}"
    client.get("/logout")
    assert client.cookies == {}
    assert client.get("/show", cookie=cookie).text == "{}"


def test_two_middlewares_share_nothing() -> None:
    """Every middleware has an embedded store of its own."""
    client = logged_in(checked(page(put("a", 1))), "/")
    client.app = checked(page(show))
    assert client.get().text == "{}"


def test_several_processes() -> None:
    """With nodes=None a server of several processes is told at the first request that they would not share."""
    with pytest.raises(ConfigError, match="several") as caught:
        Client(bare(page(show))).get(**SEVERAL)
    assert caught.value.option == "nodes"


def test_several_processes_meant() -> None:
    """With nodes="memory" the same is served: somebody has said that it is meant."""
    assert Client(checked(page(show), nodes="memory")).get(**SEVERAL).status == 200


def test_said_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """One log line says that sessions are kept in this process."""
    caplog.set_level(logging.INFO, "sharedsession")
    client = Client(checked(page(show)))
    client.get()
    client.get()
    assert [record.message for record in caplog.records if "in this process" in record.message] == [
        "sessions are kept in this process (no memcached nodes are configured)"
    ]


def test_operators_view() -> None:
    """The embedded store has no nodes to watch, and counts like any other."""
    middleware = bare(page(put("a", 1)))
    Client(middleware).get()
    assert middleware.health() == ()
    assert middleware.stats() == {"created": 1}


def test_mutable_values_are_not_shared() -> None:
    """What a request changes in place after its response is not seen by the next one: values are stored as bytes."""
    kept: list[list[int]] = []

    def store(session: object) -> None:
        kept.append([1])
        put("list", kept[0])(session)  # type: ignore[arg-type]

    client = logged_in(pages({"/login": store, "/show": show}))
    kept[0].append(2)
    assert client.get("/show").text == "{'list': [1]}"
