"""The step of the check whose client refuses cookies: its id travels in the URL, then in a hidden form field."""

from __future__ import annotations

from .client import Client, Reply
from .htmlpage import PARAMETER, Page
from .scene import Scene, require

#: Values added by each kind of client, and its visits.
ADDED = 5
VISITS = 5


def without_cookies(scene: Scene) -> str:
    """Walk through the page without cookies, by URL and by form field; then see that a cookie keeps URLs clean."""
    by_url = _by_url(scene)
    by_field = _by_field(scene)
    _clean_with_a_cookie(scene)
    return f"by URL {by_url}; by form field {by_field}; with a cookie clean URLs"


class Deaf(Client):
    """A client that ignores Set-Cookie, goes where pages send it, and remembers who served it."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.page = Page("")
        self.served: set[str] = set()
        #: Every id that stood in the URLs asked for.
        self.ids: list[str] = []

    def visit(self, url: str) -> Page:
        """Ask for a page."""
        self._note(url)
        return self._show(self.get(url))

    def follow(self) -> Page:
        """Follow the page's first link."""
        return self.visit(self.page.links[0])

    def send(self, action: str, **fields: str) -> Reply:
        """Send a form as it stands in the page."""
        form = self.page.forms[action]
        self._note(form.action)
        return self.post(form.action, form.hidden | fields)

    def send_and_follow(self, action: str, **fields: str) -> Page:
        """Send a form and go where the answer leads."""
        reply = self.send(action, **fields)
        require(reply.status == 303, f"{reply.status} for {action}")
        return self.visit(reply.headers["Location"])

    def send_field(self, action: str, **fields: str) -> Reply:
        """Send a form with the id in its hidden field only."""
        return self.post(action, {PARAMETER: self.page.field, **fields})

    def show_by_field(self) -> Page:
        """Ask for the page with the id in the hidden field only."""
        return self._show(self.send_field("/"))

    def _show(self, reply: Reply) -> Page:
        require(reply.status == 200, f"{reply.status}: {reply.text[:80]}")
        self.page = Page(reply.text)
        self.served.add(self.page.served_by)
        return self.page

    def _note(self, url: str) -> None:
        found = id_in(url)
        if found and found not in self.ids:
            self.ids.append(found)

    def _keep(self, reply: Reply) -> Reply:
        return reply


def id_in(url: str) -> str:
    """Return the id in a URL, or ""."""
    return url.partition(f";{PARAMETER}=")[2].partition("?")[0].partition("#")[0]


def _by_url(scene: Scene) -> str:
    client = Deaf(scene.cluster.port)
    visits = [client.visit("/").visits] + [client.follow().visits for _ in range(VISITS)]
    visits += [client.send_and_follow("/add", name=f"k{number}", value="tea").visits for number in range(ADDED)]
    visits.append(client.send_and_follow("/login").visits)
    _require_one_session(scene, client, visits, "URL")
    require(len(client.ids) == 2, f"{len(client.ids)} ids for one log-in")
    before, after = client.ids
    _require_moved(scene, before, after, visits[-1])
    require(client.send_and_follow("/logout").visits == 1, "log-out did not end the session")
    _require_dead(scene, before, after)
    return f"{len(visits)} visits, {ADDED} values, log-in and log-out over {len(client.served)} nodes"


def _by_field(scene: Scene) -> str:
    client = Deaf(scene.cluster.port)
    visits = [client.visit("/").visits] + [client.show_by_field().visits for _ in range(VISITS)]
    _require_one_session(scene, client, visits, "form field")
    before = client.page.field
    added = [client.send_field("/add", name=f"k{number}", value="tea").status for number in range(ADDED)]
    require(added == [303] * ADDED, f"{added} for values")
    after = id_in(client.send_field("/login").headers["Location"])
    _require_moved(scene, before, after, visits[-1])
    require(client.post("/logout", {PARAMETER: after}).status == 303, "no log-out")
    _require_dead(scene, before, after)
    return f"{len(visits)} visits, {ADDED} values, log-in and log-out"


def _require_one_session(scene: Scene, client: Deaf, visits: list[int], source: str) -> None:
    require(visits == list(range(1, len(visits) + 1)), f"visits {visits}")
    require(client.served == set(scene.cluster.apps), f"served by {client.served}")
    require(client.page.source == source, f"the id came in the {client.page.source!r}, not in the {source}")


def _require_moved(scene: Scene, before: str, after: str, visits: int) -> None:
    require(after not in ("", before), "the id did not change at log-in")
    _require_data(scene, after, visits)
    _require_dead(scene, before)


def _clean_with_a_cookie(scene: Scene) -> None:
    client = Client(scene.cluster.port)
    first = client.get("/")
    require(f";{PARAMETER}=" in first.text, "no id in the URLs of the first page")
    leaked = Page(first.text).field
    added = client.post("/add", {"name": "cart", "value": "tea"})
    for text in (client.get("/").text, client.get("/").text, added.headers["Location"]):
        require(PARAMETER not in text, "an id in URL or form though the cookie had come back")
    require(Page(client.get("/").text).source == "cookie", "the id did not come in the cookie")
    _require_dead(scene, leaked)


def _require_data(scene: Scene, presented: str, visits: int) -> None:
    expected = {f"k{number}": "tea" for number in range(ADDED)} | {"visits": visits, "user": "Ada"}
    for door in scene.doors:
        found = Client(door).get(f"/api/session;{PARAMETER}={presented}").body["attributes"]
        found.pop("id before", None)
        require(found == expected, f"{found} instead of {expected}")


def _require_dead(scene: Scene, *ids: str) -> None:
    for presented in ids:
        for door in scene.doors:
            by_url = Client(door).get(f"/api/session;{PARAMETER}={presented}")
            by_field = Client(door).post("/api/count", {PARAMETER: presented})
            require(by_url.status == 200 and by_url.body["attributes"] == {}, f"alive: {by_url.text}")
            require(by_field.body["count"] == 1, f"alive: {by_field.text}")
