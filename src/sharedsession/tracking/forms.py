"""The forms of an HTML page: their actions get the session id, and those by POST a hidden field as their first."""

from __future__ import annotations

from .references import escape
from .rules import Rules
from .tags import Tag


class Forms:
    """The forms of one page.

    A browser ignores a form that begins inside another (HTML Standard, 13.2.6.4.7): a field in it would be the outer
    one's. So a form gets the field only if no other can be open, whether or not the browser runs scripts.

    Args:
        rules: which URLs get the id.
        hidden: the hidden field; empty when forms carry no ids.
    """

    def __init__(self, rules: Rules, hidden: bytes) -> None:
        self._rules = rules
        self._hidden = hidden
        self._open = False
        # The open form has the field; its action.
        self._has_field = False
        self._action = b""
        # The open form is to carry no id.
        self._plain = False
        # Any form before has it; none may have it from now on.
        self.any_field: bool = False
        self._no_more = False
        self._templates = 0
        # What was open where <noscript> began.
        self._outside: tuple[bool, bool] | None = None

    def enter(self, name: bytes) -> None:
        """Take the beginning of <noscript> or <template>."""
        if name == b"template":
            self._templates += 1
        elif self._outside is None:
            self._outside = self._open, self._has_field

    def end(self, name: bytes) -> None:
        """Take an end tag."""
        if name == b"template":
            self._templates = max(0, self._templates - 1)
        elif name == b"noscript" and self._outside is not None:
            self._open = self._open or self._outside[0]
            self._has_field = self._has_field or self._outside[1]
            self._outside = None
        elif name == b"form" and not self._templates:
            self._open = self._has_field = False

    def start(self, tag: Tag, *, plain: bool) -> None:
        """Rewrite the start tag of a form.

        Args:
            tag: the tag.
            plain: it is to carry no id.
        """
        inside = self._begins_inside()
        self._plain = plain or (inside and self._plain)
        method = tag.text(b"method").lower()
        if inside or plain or method == "dialog":
            return
        action = tag.text(b"action")
        takes = self._hidden and method == "post" and not self._templates and not self._no_more
        if takes and self._rules.takes_form(action):
            tag.behind = self._hidden
            self._has_field = self.any_field = True
            self._action = escape(action)
        self._encode(tag, action)

    def _begins_inside(self) -> bool:
        """Note that a form begins; say whether it does inside another."""
        inside = self._open and not self._templates
        self._open = self._open or not self._templates
        return inside

    def _encode(self, tag: Tag, action: str) -> None:
        if b"action" in tag:
            tag.change_url(b"action", self._rules.action)
        elif self._rules.in_urls and self._rules.action(""):
            tag.add(b'action="' + escape(self._rules.action(action)) + b'"')

    def button(self, tag: Tag, *, plain: bool) -> None:
        """Rewrite a button that may send its form elsewhere."""
        if b"formaction" not in tag:
            return
        action = tag.text(b"formaction")
        if not self._rules.takes_form(action) and self._hidden:
            self._leave(tag)
        elif not (plain or (self._open and self._plain)):
            tag.change_url(b"formaction", self._rules.action)

    def _leave(self, tag: Tag) -> None:
        """Let a button lead off this site, unless the form's field would go there."""
        if self.any_field:
            tag.remove(b"formaction")
        elif b"form" in tag:
            self._no_more = True  # its form may come yet

    def overlong(self, name: bytes) -> bytes:
        """Take a start tag that is too long to be read; return an attribute that is to come first in it."""
        if name in (b"noscript", b"template"):
            self.enter(name)
        elif name == b"form":
            self._begins_inside()
        elif name in (b"button", b"input") and self._hidden:
            if self._has_field:
                return b' formaction="' + self._action + b'"'
            self._no_more = True
            return b' formaction=""' if self.any_field else b""
        return b""
