"""An application that does with its session what the path says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from servers import Memcached

from sharedsession import Session, SessionMiddleware, get_session

from ..child import Client
from ..contenders.bare import answer

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse

#: Does something with a session.
Act = Callable[[Session], object]


def read(session: Session) -> object:
    """Read a small attribute."""
    return session["count"]


def read_all(session: Session) -> object:
    """Read every attribute."""
    return dict(session)


def change(session: Session) -> object:
    """Change a small attribute."""
    session["count"] += 1
    return None


ACTS: dict[str, Act] = {"/read": read, "/readall": read_all, "/change": change}


class Site:
    """The application and its middleware.

    Args:
        servers: the memcached nodes.
        copies: of each session.
    """

    def __init__(self, servers: Sequence[Memcached], copies: int) -> None:
        nodes = " ".join(server.node for server in servers)
        self._fill: dict[str, Any] = {}
        self.app = SessionMiddleware(
            self._application, secret_key="s" * 32, nodes=nodes, copies=copies, timeout=10.0, connect_timeout=10.0
        )
        #: Serves one request at a time.
        self.client = self.new_client()

    def new_client(self) -> Client:
        """Return a further client, for a thread of its own."""
        return Client(self.app)

    def create(self, values: dict[str, Any]) -> str:
        """Make a session that holds these values; return its cookie."""
        self._fill = values
        self.client.request("/create", "")
        return self.client.new_cookie()

    def request(self, path: str, cookie: str) -> Callable[[], object]:
        """Return what makes a request; it fails unless that succeeds."""

        def make() -> None:
            self.client.request(path, cookie)
            self.client.new_cookie()

        return make

    def _application(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        session, path = get_session(environ), environ["PATH_INFO"]
        if path == "/create":
            session.update(self._fill)
            return answer(b"created", start_response)
        ACTS[path](session)
        return answer(str(session["count"]).encode(), start_response)
