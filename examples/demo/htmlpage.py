"""The demo's page as a client without scripts sees it: links, forms with their hidden fields, and a few words."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser

PARAMETER = "jsessionid"


@dataclass
class Form:
    """A form's action, as it stands in the page, and its hidden fields in their order."""

    action: str
    hidden: dict[str, str] = field(default_factory=dict)


class Page(HTMLParser):
    """A page that came back.

    Args:
        text: its HTML.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.links: list[str] = []
        #: By the path of the action, without the id.
        self.forms: dict[str, Form] = {}
        self._form = Form("")
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a link, a form or a hidden field."""
        found = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(found["href"])
        elif tag == "form":
            self._form = Form(found["action"])
            self.forms[found["action"].partition(";")[0]] = self._form
        elif tag == "input" and found.get("type") == "hidden":
            self._form.hidden[found["name"]] = found["value"]

    @property
    def visits(self) -> int:
        """The figure below "visits"."""
        return int(self._figure("visits"))

    @property
    def served_by(self) -> str:
        """The application node that made the page."""
        return self._figure("served by")

    @property
    def source(self) -> str:
        """How the id came, in the page's words; "" for a new session."""
        found = re.search(r"The id came in the <b>(.+?)</b>", self.text)
        return found[1] if found else ""

    @property
    def field(self) -> str:
        """The id in the hidden fields; "" without. It is the same in all forms, and the first field of each."""
        first = [next(iter(form.hidden.items()), ("", "")) for form in self.forms.values()]
        (only,) = {value if name == PARAMETER else "" for name, value in first}
        return only

    def _figure(self, name: str) -> str:
        found = re.search(rf"<dt>{name}</dt><dd>(\w+)</dd>", self.text)
        if not found:
            raise ValueError(f"no {name!r} in the page: {self.text[:80]}")
        return found[1]
