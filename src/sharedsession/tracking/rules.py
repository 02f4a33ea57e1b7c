"""Which URLs of an HTML page get the session id: those of `encode_url`, as `<base>` has it."""

from __future__ import annotations

from .url import Place, UrlParameter

#: White space around URLs in HTML (HTML Standard, 2.4.1).
BLANK = " \t\n\f\r"


class Rules:
    """Which URLs get the id, on one page.

    Args:
        session_id: the id.
        place: where the request is.
        parameter: writes ids into URLs.
        in_urls: URLs carry ids; False: nothing is written into them.
    """

    def __init__(self, session_id: str, place: Place, parameter: UrlParameter, *, in_urls: bool) -> None:
        self._id = session_id
        self._page = place
        self._parameter = parameter
        self.in_urls = in_urls
        # Where links lead from: None: nobody can tell, since <base> leads off this site.
        self._place: Place | None = place
        self._has_base = False
        # Something that carries the id leads where it should only as long as no <base> comes.
        self.relies: bool = False

    def link(self, text: str) -> str:
        """Return the value of a link with the id; one to a place on the same page makes no request."""
        url = text.strip(BLANK)
        return text if url.startswith("#") and not self._has_base else self.target(text)

    def target(self, text: str) -> str:
        """Return a URL, perhaps with blanks around it, with the id."""
        url = text.strip(BLANK)
        place = self._place_of(url)
        if place is None or not self.in_urls:
            return text
        head, rest = _head(url)
        encoded = self._parameter.encode(head, self._id, place) + rest
        self.relies = self.relies or (self._id in encoded and not _is_absolute(url))
        return text if encoded == url else text.replace(url, encoded, 1) if url else encoded

    def action(self, text: str) -> str:
        """Return the value of a form's action with the id; an empty one is the page's address, whatever its base."""
        if text:
            return self.target(text)
        if self._place is None or not self.in_urls:
            return text  # what is written would be relative to <base>
        self.relies = True
        return self._parameter.encode("", self._id, self._page)

    def takes_form(self, text: str) -> bool:
        """Say whether what is sent to a form's action comes back to this application."""
        url = text.strip(BLANK)
        place = self._place_of(url) if text else self._page
        leads_back = place is not None and self._parameter.leads_back(_head(url)[0], place)
        self.relies = self.relies or (leads_back and text != "" and not _is_absolute(url))
        return leads_back

    def _place_of(self, url: str) -> Place | None:
        return self._page if _is_absolute(url) else self._place

    def base(self, href: str) -> bool:
        """Take `<base href>`; say whether it may stay.

        The first counts for the whole page, also for what stands before it (HTML Standard, 4.2.3). One that leads
        elsewhere, when links that carry the id have been sent, would take the id there.
        """
        place = self._parameter.based(href.strip(BLANK), self._page)
        moves = place != self._place and self._page.mount not in ("", "/")
        if self.relies and (place is None or moves):
            return False
        if place is None or not self._has_base:
            self._place = place
        elif moves:
            self._place = None  # which of them counts depends on the browser and on what surrounds them
        self._has_base = True
        return True


def _is_absolute(url: str) -> bool:
    return url[:8].lower().startswith(("http://", "https://"))


def _head(url: str) -> tuple[str, str]:
    """Split a URL behind its first "?" or "#": the rest has no say in where it leads, and there much is put up with."""
    cut = min(at for at in (url.find("?"), url.find("#"), len(url)) if at >= 0) + 1
    return url[:cut], url[cut:]
