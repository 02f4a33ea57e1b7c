"""The example applications, started as their first lines say, as two nodes over two memcacheds, and used."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from appnodes import ROOT, Browser, running
from servers import Memcached, StartMemcached, free_port

EXAMPLES = sorted((ROOT / "examples").glob("*_app.py"))
NAMES = [path.stem for path in EXAMPLES]
#: The command that starts a node in the first lines of an example.
COMMAND = re.compile(r"^    \$ SHAREDSESSION_ROUTE=(web\d) (.*127\.0\.0\.1:)80\d\d(.*) &$", re.MULTILINE)


@pytest.fixture
def memcacheds(start_memcached: StartMemcached) -> list[Memcached]:
    """Return two running memcached nodes."""
    return [start_memcached("n1"), start_memcached("n2")]


def commands(example: Path, ports: list[int]) -> dict[int, list[str]]:
    """Return the commands that the example's first lines give, for other ports."""
    found = COMMAND.findall(ast.get_docstring(ast.parse(example.read_text()), clean=False) or "")
    assert [route for route, _, _ in found] == ["web1", "web2"]
    return {port: shlex.split(f"{begin}{port}{end}") for port, (_, begin, end) in zip(ports, found, strict=True)}


def test_there_is_one_for_each_framework() -> None:
    """Every framework that this library speaks of has an example."""
    assert {"bottle_app", "django_app", "flask_app", "pyramid_app", "wsgi_app"} <= set(NAMES)


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_is_short(example: Path) -> None:
    """Each is under a hundred lines: it is read before it is copied."""
    assert len(example.read_text().splitlines()) < 100


@pytest.mark.parametrize("example", EXAMPLES, ids=NAMES)
def test_an_example_works(example: Path, memcacheds: list[Memcached]) -> None:
    """Log in on one node with a new id, be known on the other, lose no visit with a memcached, log out on both."""
    one, two = free_port(), free_port()
    with running(commands(example, [one, two]), example.parent, memcacheds):
        browser = Browser()
        assert "You were here 1 times." in browser.get(one, "/").text
        page = browser.get(two, "/")
        assert "You were here 2 times." in page.text
        before = browser.cookie
        assert before.endswith(".web1")

        page = browser.submit(two, page, user="Mia & <Bo>")
        assert browser.cookie.endswith(".web2")
        assert "You were here 3 times." in page.text
        assert "Mia &amp; &lt;Bo&gt;" in page.text
        assert "You were here 1 times." in Browser(before).get(one, "/").text

        memcacheds[0].kill()
        assert "You were here 4 times." in browser.get(one, "/").text
        page = browser.get(two, "/")
        assert "You were here 5 times." in page.text
        assert "Mia &amp; &lt;Bo&gt;" in page.text

        known = browser.cookie
        page = browser.submit(one, page)
        assert "You were here 1 times." in page.text
        for port in (one, two):
            text = Browser(known).get(port, "/").text
            assert "You were here 1 times." in text
            assert "Mia" not in text
