"""The example in docs/tracking.md does what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent / "docs" / "tracking.md"


def test_example_keeps_a_cart_without_cookies() -> None:
    """The example's links, form and redirect keep the session of a client that refuses cookies."""
    example = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(example, PAGE.name, "exec"), names)
    client = names["app"].test_client(use_cookies=False)

    page = client.get("/").text
    for thing in ("tea", "cake"):
        action, field = re.search(r'action="([^"]*)"', page), re.search(r'name="jsessionid" value="([^"]*)"', page)
        assert action
        assert field
        answer = client.post(action[1], data={"jsessionid": field[1], "what": thing})
        page = client.get(answer.location).text
    link = re.search(r'href="([^"]*)"', page)
    assert link
    assert "In your cart: tea, cake." in client.get(link[1]).text
    assert "In your cart: ." in client.get("/").text
