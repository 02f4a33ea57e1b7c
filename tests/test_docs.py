"""The documentation says what the code does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

from werkzeug.test import Client

from sharedsession import CookieConfig, SessionConfig

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
OPTIONS = (ROOT / "docs" / "options.md").read_text()


def python_blocks(text: str) -> list[str]:
    """Return the Python examples of a page."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(*blocks: str) -> dict[str, Any]:
    """Execute examples one after the other; return their names."""
    names: dict[str, Any] = {"__name__": "example"}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    return names


def test_first_example_counts_visits() -> None:
    """The README's first example works as it stands, on the embedded store."""
    client = run(python_blocks(README)[0])["app"].test_client()
    assert client.get("/").text == "You were here 1 times."
    assert client.get("/").text == "You were here 2 times."


def test_the_one_line_makes_it_shared() -> None:
    """The README's second line is accepted in place of the first one's."""
    first, second = python_blocks(README)[:2]
    app = run(first.replace("SharedSession(app)\n", second))["app"]
    app.extensions["sharedsession"].check()
    assert [node.name for node in app.extensions["sharedsession"].health()] == ["n1", "n2"]


def test_wsgi_example_fills_a_cart() -> None:
    """The README's WSGI example works; here without its memcached nodes."""
    block = python_blocks(README)[2].replace(', nodes="n1:10.0.0.1 n2:10.0.0.2"', "")
    client = Client(run(block)["application"])
    assert client.get("/").text == "1 in your cart"
    assert client.get("/").text == "2 in your cart"


def test_every_option_is_documented_with_its_default() -> None:
    """docs/options.md names every option, with the default the code has."""
    documented = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", OPTIONS, re.MULTILINE))
    expected = {
        f"{prefix}{field.name}": default_of(field)
        for prefix, cls in (("", SessionConfig), ("cookie_", CookieConfig))
        for field in dataclasses.fields(cls)
    }
    assert documented == expected


def default_of(field: dataclasses.Field[Any]) -> str:
    """Return a field's default as the page writes it."""
    if field.name == "cookie":
        return "`CookieConfig()`"
    if field.name == "crawlers":
        return "`CRAWLERS`"
    if field.name == "secret_key":
        return "required"
    return f"`{field.default!r}`".replace("'", '"')


def test_every_counter_is_documented() -> None:
    """docs/operations.md names every counter that the code moves by a fixed name."""
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    counters = set(re.findall(r"\.(?:count|warn)\(\s*\"([a-z_]+)\"", source))
    page = (ROOT / "docs" / "operations.md").read_text()
    assert "conflicts" in counters
    assert {name for name in counters if f"`{name}`" not in page} == set()
