"""The clients: users with a cookie jar and two tabs each, who know what their sessions must hold."""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from .history import Cookie, Event, Op

_PATHS = {Op.SET: "/put", Op.ADD: "/put"}
#: How often a tab does what, relative to the rest.
_TAB = {Op.READ: 8, Op.ADD: 3, Op.SET: 3, Op.COUNT: 3}
#: The first tab of each user also changes the id and logs out.
_FIRST_TAB = {**_TAB, Op.RELOGIN: 0.5, Op.LOGOUT: 0.3}
#: Attributes a session gets before its user logs out: its size stays bounded.
_MOST_ADDS = 100
#: Seconds after which a client gives up: no request may take that long.
_GIVE_UP = 10.0


class Reply(NamedTuple):
    """What came back."""

    status: int
    #: The session cookie that the response brings; "" for none.
    cookie: str
    body: dict[str, Any]
    took: float


class Browser:
    """Asks the application processes over connections that are kept.

    Args:
        ports: of the application processes.
        history: where every request is recorded.
    """

    def __init__(self, ports: Sequence[int], history: list[Event]) -> None:
        self._ports = ports
        self._history = history
        self._open: dict[int, http.client.HTTPConnection] = {}

    def ask(
        self, app: int, op: Op, lineage: str, cookie: Cookie | None, name: str = "", value: int = 0, start: float = 0.0
    ) -> tuple[Event, str]:
        """Send a request; return the event, not yet recorded, and the cookie that came.

        Args:
            app: number of the application process.
            op: what to do.
            lineage: the session meant.
            cookie: what to show.
            name: the attribute to write.
            value: its number.
            start: when the client decided what to show (time.monotonic); 0.0: now.
        """
        start = start or time.monotonic()
        reply = self._try(app, self._path(op, lineage, name, value), cookie)
        shown = cookie.text if cookie else ""
        event = Event(
            start,
            time.monotonic(),
            app,
            lineage,
            cookie.number if cookie else 0,
            op,
            reply.status,
            reply.body.get("user"),
            name,
            value,
            reply.body.get("result"),
            new_id=reply.cookie not in ("", shown),
            took=reply.took,
        )
        return event, reply.cookie

    def record(self, event: Event) -> Event:
        """Record a request as ended now."""
        self._history.append(event._replace(end=time.monotonic()))
        return event

    def close(self) -> None:
        """Close the connections."""
        for connection in self._open.values():
            connection.close()
        self._open.clear()

    @staticmethod
    def _path(op: Op, lineage: str, name: str, value: int) -> str:
        path = _PATHS.get(op, f"/{op.value}")
        query = {"user": lineage.partition(".")[0], "name": name, "value": f"{lineage}:{value}"}
        return f"{path}?{urlencode(query)}"

    def _try(self, app: int, path: str, cookie: Cookie | None) -> Reply:
        try:
            return self._get(app, path, cookie)
        except (OSError, http.client.HTTPException):
            self._open.pop(app).close()
            return Reply(0, "", {}, 0.0)

    def _get(self, app: int, path: str, cookie: Cookie | None) -> Reply:
        if app not in self._open:
            self._open[app] = http.client.HTTPConnection("127.0.0.1", self._ports[app], timeout=_GIVE_UP)
        headers = {"Cookie": f"JSESSIONID={cookie.text}"} if cookie else {}
        self._open[app].request("POST", path, headers=headers)
        response = self._open[app].getresponse()
        body = response.read()
        brought = (response.getheader("Set-Cookie") or "").partition("JSESSIONID=")[2].partition(";")[0]
        took = float(response.getheader("X-Took") or 0)
        return Reply(response.status, brought, json.loads(body) if response.status == 200 else {}, took)


class User:
    """One user: the cookie jar that all tabs share.

    Args:
        name: without a dot.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.cookie: Cookie | None = None
        #: Ids that must not work any more.
        self.past: list[Cookie] = []
        #: Attributes written since the log-in.
        self.adds = 0
        self._logins = 0

    def next_lineage(self) -> str:
        """Return the name of the session that the next log-in begins."""
        self._logins += 1
        return f"{self.name}.{self._logins}"

    def logged_in(self, lineage: str, text: str) -> None:
        """Keep the cookie of a new session."""
        self.cookie, self.adds = Cookie(lineage, 0, text), 0

    def moved(self, cookie: Cookie, text: str) -> None:
        """Keep the new id of the session."""
        self.past.append(cookie)
        self.cookie = Cookie(cookie.lineage, cookie.number + 1, text)

    def gone(self, cookie: Cookie) -> None:
        """Forget a session: it was ended, or lost."""
        self.past.append(cookie)
        self.cookie = None


class Tab:
    """One tab: asks in turn, one request at a time.

    Args:
        user: whose.
        number: 0 for the tab that logs in and out.
        browser: asks.
        serving: returns the application processes that may be asked.
        pause: seconds between two requests, on average.
    """

    def __init__(
        self, user: User, number: int, browser: Browser, serving: Callable[[], Sequence[int]], pause: float
    ) -> None:
        #: Turns taken.
        self.turns = 0
        self.user = user
        self._number = number
        self._browser = browser
        self._serving = serving
        self._pause = pause
        self._random = random.Random(f"{user.name} {number}")
        self._weights = _TAB if number else _FIRST_TAB
        self._written = 0

    def run(self, stop: threading.Event) -> None:
        """Take turns until told to stop."""
        while not stop.wait(self._random.uniform(0, 2 * self._pause)):
            self.turn()
            self.turns += 1
        self._browser.close()

    def turn(self) -> None:
        """Send one request, or none when there is no session and it is not this tab that logs in."""
        with self.user.lock:
            cookie, start = self.user.cookie, time.monotonic()
        if cookie is not None:
            self._use(cookie, start)
        elif self._number == 0:
            self._login()

    def _app(self) -> int:
        return self._random.choice(self._serving())

    def _login(self) -> None:
        lineage = self.user.next_lineage()
        event, brought = self._browser.ask(self._app(), Op.LOGIN, lineage, None)
        with self.user.lock:
            if event.status == 200:
                self.user.logged_in(lineage, brought)
            self._browser.record(event)

    def _use(self, cookie: Cookie, start: float) -> None:
        op = self._choose()
        name = ""
        if op in (Op.SET, Op.ADD):
            self._written += 1
            self.user.adds += 1
            name = f"set{self._number}" if op is Op.SET else f"add{self._number}-{self._written}"
        event, brought = self._browser.ask(self._app(), op, cookie.lineage, cookie, name, self._written, start)
        with self.user.lock:
            if self._number == 0:
                self._note(event, cookie, brought)
            self._browser.record(event)

    def _choose(self) -> Op:
        if self._number == 0 and self.user.adds >= _MOST_ADDS:
            return Op.LOGOUT
        return self._random.choices(list(self._weights), list(self._weights.values()))[0]

    def _note(self, event: Event, cookie: Cookie, brought: str) -> None:
        """Do with the jar what the answer says. A session of which nobody knows what became of it is given up."""
        if event.op is Op.RELOGIN and event.done:
            self.user.moved(cookie, brought)
        elif event.op is Op.LOGOUT and event.done:
            self.user.gone(cookie)
        elif event.op in (Op.RELOGIN, Op.LOGOUT) or (event.status == 200 and event.user is None):
            self.user.cookie = None


class Load:
    """Users who ask in threads of their own; use it in a `with` statement.

    Args:
        ports: of the application processes.
        serving: returns the application processes that may be asked.
        users: how many, with two tabs each.
        pause: seconds between two requests of a tab, on average.
    """

    def __init__(
        self, ports: Sequence[int], serving: Callable[[], Sequence[int]], users: int = 6, pause: float = 0.035
    ) -> None:
        self.history: list[Event] = []
        self.users = [User(f"u{number}") for number in range(users)]
        self._serving = serving
        self._tabs = [
            Tab(user, number, Browser(ports, self.history), serving, pause) for user in self.users for number in (0, 1)
        ]
        self._reader = Browser(ports, self.history)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=tab.run, args=(self._stop,)) for tab in self._tabs]

    def __enter__(self) -> Self:
        # The proxies run in this interpreter too: they must not wait long for a client's thread.
        sys.setswitchinterval(0.0005)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._reader.close()
        sys.setswitchinterval(0.005)

    def stop(self) -> None:
        """Let every tab end its turn."""
        self._stop.set()
        for thread in self._threads:
            thread.join(2 * _GIVE_UP)

    def settle(self) -> None:
        """Wait until every request begun before has ended, then read every session once."""
        before = [(tab, thread, tab.turns) for tab, thread in zip(self._tabs, self._threads, strict=True)]
        for tab, thread, turns in before:
            while tab.turns == turns and thread.is_alive():
                time.sleep(0.005)
        self.read_all(everywhere=False)

    def read_all(self, *, everywhere: bool = True) -> None:
        """Read every session with its present id, and with those that must not work any more.

        Args:
            everywhere: from every application process; otherwise from one, another for each user.
        """
        serving = self._serving()
        for number, user in enumerate(self.users):
            for app in serving if everywhere else [serving[number % len(serving)]]:
                for former in list(user.past):
                    self._read(app, former)
                with user.lock:
                    cookie, start = user.cookie, time.monotonic()
                if cookie is not None:
                    self._read(app, cookie, start)

    def _read(self, app: int, cookie: Cookie, start: float = 0.0) -> None:
        event, _ = self._reader.ask(app, Op.READ, cookie.lineage, cookie, start=start)
        self._reader.record(event)

    def crowd(self, size: int) -> None:
        """Log in many more users, who write one attribute and then only read when all do."""
        for number in range(size):
            user = User(f"c{number}")
            lineage, app = user.next_lineage(), self._serving()[number % len(self._serving())]
            event, brought = self._reader.ask(app, Op.LOGIN, lineage, None)
            self._reader.record(event)
            if event.status == 200:
                user.logged_in(lineage, brought)
                self._reader.record(self._reader.ask(app, Op.ADD, lineage, user.cookie, "add", 1)[0])
                self.users.append(user)
