"""One request's session, between its request and its response: the only place where dialogue and storage meet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

from markupsafe import Markup

from .dialogue import FormerSession, Requested, Shown, Tell, Update
from .errors import StoreUnavailableError
from .facade import Facade, Opener
from .life import Life
from .manager import Manager
from .session import Session
from .tracking.caching import Headers, forbid_shared_caching, vary_on_cookie
from .tracking.pages import Page
from .tracking.tracking import Tracking, Trail, protect
from .view import Origin, RequestView, is_below, origin_of

#: Methods of requests that may write (RFC 9110 9.2.1 calls the others safe; RFC 5789 adds PATCH).
_WRITES: Final = frozenset(["POST", "PUT", "PATCH", "DELETE"])


class Predecessor(Protocol):
    """Another library, whose sessions lie in signed cookies and are taken over."""

    def find(self, cookies: str) -> FormerSession | None:
        """Return the session that a Cookie header holds; None if none opens, or none is to be taken over."""
        ...

    def deletion(self) -> list[str]:
        """Return the Set-Cookie header that deletes its cookie; none if that has the name of ours."""
        ...


class Policy:
    """What decides about every exchange of one middleware.

    Args:
        manager: opens and commits sessions.
        tracking: finds and sends ids.
        trusted_proxies: how many hops of X-Forwarded headers are believed.
        slide_always: an untouched request prolongs the session too.
        save_on_5xx: save also when the response's status is 5xx.
        ignore_paths: path prefixes whose requests get no session.
        session_class: makes what the application gets.
        max_age: seconds the client keeps this session's id, None for the configured age.
        locks_writes: a request that may write has the session for itself.
        predecessor: whose sessions are taken over; None: nobody's.
    """

    def __init__(
        self,
        manager: Manager,
        tracking: Tracking,
        *,
        trusted_proxies: int = 0,
        slide_always: bool = False,
        save_on_5xx: bool = True,
        ignore_paths: tuple[str, ...] = (),
        session_class: Callable[[Opener], Session] = Session,
        max_age: Callable[[Session], int | None] | None = None,
        locks_writes: bool = False,
        predecessor: Predecessor | None = None,
    ) -> None:
        self.manager = manager
        self.tracking = tracking
        self.trusted_proxies = trusted_proxies
        self.slide_always = slide_always
        self.save_on_5xx = save_on_5xx
        self.ignore_paths = ignore_paths
        self.session_class = session_class
        self.max_age = max_age
        #: Cookies die while they are used, unless they are sent again.
        self.ages: bool = max_age is not None or tracking.ages
        #: Once nothing of the application runs any more, nothing but cookies is asked of a request.
        self.asks_little: bool = not (tracking.needs_entry or tracking.guards.binds)
        self.locks_writes = locks_writes
        self.predecessor = predecessor

    def over(self, manager: Manager) -> Policy:
        """Return the same policy over another manager."""
        return Policy(
            manager,
            self.tracking,
            trusted_proxies=self.trusted_proxies,
            slide_always=self.slide_always,
            save_on_5xx=self.save_on_5xx,
            ignore_paths=self.ignore_paths,
            session_class=self.session_class,
            max_age=self.max_age,
            locks_writes=self.locks_writes,
            predecessor=self.predecessor,
        )

    def ignores(self, path: str) -> bool:
        """Say whether requests of this path, decoded and below the mount point, get no session."""
        path = self.tracking.strip_path(path) if self.ignore_paths else path
        return is_below(path, self.ignore_paths)


class Visit:
    """A session opened by its id, without a request: for code that speaks with the client itself.

    Args:
        policy: the middleware's.
        session_id: the id's text; None: a new session.
        slide: loading it starts its idle time anew.
    """

    __slots__ = ("_facade",)

    def __init__(self, policy: Policy, session_id: str | None, *, slide: bool = True) -> None:
        shown = [] if session_id is None else [Requested(session_id, "cookie")]
        self._open(policy, Life(policy.manager, Shown(shown, slides=slide)))

    def _open(self, policy: Policy, opener: Opener) -> None:
        self._facade: Facade = policy.session_class(opener)

    @property
    def session(self) -> Session:
        """What the application gets."""
        return cast("Session", self._facade)

    @property
    def _life(self) -> Life:
        return cast("Life", self._facade._life)  # noqa: SLF001  # no business of applications

    @property
    def _begun(self) -> Life | None:
        """The session's life, if the application has begun to use it."""
        life: Life | None = self._facade._begun  # noqa: SLF001  # no business of applications
        return life

    @property
    def failure(self) -> StoreUnavailableError | None:
        """How the store failed here, if it did."""
        life = self._begun
        return None if life is None else life.failure

    @property
    def lost(self) -> bool:
        """Another request has ended the session, and what was changed here was dropped."""
        life = self._begun
        return life is not None and life.gone

    def changed(self) -> bool:
        """Say whether there is anything to save: encodes what could have changed in place."""
        life = self._begun
        return life is not None and life.dirty()

    def revert(self) -> None:
        """Take back what was changed and not yet saved."""
        life = self._begun
        if life is not None and life.opened is not None:
            life.start()

    def save(self) -> bool:
        """Save now; what the client must be told waits for the headers.

        Returns:
            False when the session was ended by another request meanwhile: what was changed is dropped.

        Raises:
            StoreUnavailableError, SessionTooLargeError, TypeError: as for `Session.commit`.
        """
        self._life.commit()
        return not self.lost


class _Asked(RequestView):
    """One request, as its session asks it.

    It is told when the headers leave, and when nothing of the application runs any more: a session may be used for the
    first time after that.
    """

    __slots__ = ("_policy", "_sent", "_trail", "ended")

    def __init__(self, policy: Policy, environ: dict[str, Any], origin: Origin | None) -> None:
        self._policy = policy
        self._trail: Trail | None = None
        if policy.tracking.needs_entry:
            self._trail = policy.tracking.enter(environ)
            origin = origin_of(environ) if origin is None else origin
        self._sent = False
        #: Nothing of the application runs any more.
        self.ended: bool = False
        super().__init__(environ, policy.trusted_proxies, origin)

    def begin(self) -> Life:
        life = Life(self._policy.manager, self)
        life.headers_sent = self._sent
        return life

    def headers_sent(self, life: Life | None, *, ends: bool) -> None:
        """Note that the headers have left, in the session's life too if that has begun."""
        self._sent = True
        if life is not None:
            life.headers_sent = True
        self.release(ends=ends and self._policy.asks_little)

    @property
    def binds(self) -> bool:
        return self._policy.tracking.guards.binds

    def requested(self) -> Sequence[Requested]:
        return self._policy.tracking.resolve(self, self._trail)

    def slides(self) -> bool:
        return self.slide

    def former(self) -> FormerSession | None:
        predecessor = self._policy.predecessor
        return predecessor.find(self.cookies) if predecessor is not None else None

    def exclusive(self) -> bool:
        # After its end nobody would give the lock up.
        return self._policy.locks_writes and not self.ended and self.method in _WRITES

    def fingerprint(self) -> Sequence[bytes] | None:
        return self._policy.tracking.guards.fingerprint(self)

    def may_create(self) -> bool:
        return self._policy.tracking.guards.may_create(self)

    def from_elsewhere(self) -> bool:
        return self._policy.tracking.guards.from_elsewhere(self)


class Exchange(Visit):
    """One request's session.

    Args:
        policy: the middleware's.
        environ: the WSGI environ, as it is at entry.
        origin: where the request came in, for a framework whose environ says less than it knows.
    """

    __slots__ = ("_abandoned", "_policy", "_view", "name", "outer", "owner")

    def __init__(self, policy: Policy, environ: dict[str, Any], origin: Origin | None = None) -> None:
        self._policy = policy
        #: Whose it is: the middleware, and its cookie's name, which tells it from the next one around the application.
        self.owner: object = None
        self.name: str | None = None
        self.outer: Exchange | None = None
        self._view = _Asked(policy, environ, origin)
        # The response is an error after which nothing is saved.
        self._abandoned = False
        self._open(policy, self._view)

    def named(self, name: str) -> Exchange | None:
        """Return this exchange, or the one around it, that has the name."""
        found: Exchange | None = self
        while found is not None and found.name != name:
            found = found.outer
        return found

    def commit(self, status: str, headers: Headers) -> None:
        """Save the session and say so in the headers, which are changed in place; no header changes when it raises.

        Args:
            status: the response's, which begins with three digits.
            headers: the response's.

        Raises:
            ValueError: the status is none.
            StoreUnavailableError, SessionTooLargeError: it was not saved.
            TypeError: an attribute holds something that cannot be stored.
        """
        life, policy = self._begun, self._policy
        if policy.slide_always and (life is None or not life.accessed):
            life = self._life
            life.touch()
        if life is not None and life.accessed:
            self._commit(life, int(status[:3]) >= 500, headers)
        if policy.tracking.needs_entry:
            self._carry_on(headers)

    def _commit(self, life: Life, failed: bool, headers: Headers) -> None:
        self._abandoned = failed and not self._policy.save_on_5xx
        update = life.finish(save=not self._abandoned)
        if update.tell is not Tell.AGE or self._policy.ages:
            self._policy.tracking.apply(self._aged(update), self._view, headers)
        if life.superseded and not self._abandoned:
            self._delete_former(headers)
        vary_on_cookie(headers)

    def _delete_former(self, headers: Headers) -> None:
        predecessor = self._policy.predecessor
        for cookie in predecessor.deletion() if predecessor is not None else ():
            headers.append(("Set-Cookie", cookie))
            forbid_shared_caching(headers)

    def abandon(self) -> None:
        """Give up a lock, with what was not saved under it."""
        life = self._begun
        if life is not None:
            life.close()

    def end(self) -> None:
        """Note that nothing of the application runs any more; a lock is given up, with what was not saved under it."""
        self._view.ended = True
        self.abandon()

    def go_on(self) -> None:
        """Note that the application runs once more, to close its body."""
        self._view.ended = False

    def finish(self) -> None:
        """Save what changed since the headers left; nothing of the application runs any more.

        Raises:
            HeadersSentError: the change needs a cookie.
            StoreUnavailableError, SessionTooLargeError, TypeError: as for `commit`.
        """
        try:
            life = self._begun
            if life is not None and life.accessed and not self._abandoned:
                life.finish()
        except BaseException:
            self._abandoned = True  # said once
            raise
        finally:
            self.end()

    def _carry_on(self, headers: Headers) -> None:
        """Put the id into redirects, and keep a response with ids in it to this client."""
        carried = self.carried()
        if carried is None:
            return
        self._policy.tracking.encode_headers(carried, self._view, headers)
        # Whatever is still written may carry the id, and so does the address under which the page was reached.
        protect(headers)

    def carried(self) -> str | None:
        """Return the id that URLs and forms of this response carry, if any."""
        return self._life.carried() if self._policy.tracking.carries(self._view) else None

    def page(self, path: str, status: str, headers: Headers) -> Page | None:
        """Return what puts the id into a page, if the client needs that; see `Tracking.page`."""
        carried = self.carried()
        if carried is None:
            return None
        return self._policy.tracking.page(path, int(status[:3]), headers, carried, self._view)

    def encode_url(self, url: str) -> str:
        """Return the URL with the session id, for a client without cookies."""
        carried = self.carried()
        return url if carried is None else self._policy.tracking.encode_url(url, carried, self._view)

    def hidden_field(self) -> Markup:
        """Return the hidden form field with the session id, empty when none is needed."""
        carried = self.carried()
        return Markup() if carried is None else self._policy.tracking.hidden_field(carried)

    def headers_sent(self, *, ends: bool = False) -> None:
        """Note that no cookie can be sent any more, and maybe that nothing of the application runs any more."""
        self._view.headers_sent(self._begun, ends=ends)

    def _aged(self, update: Update) -> Update:
        own = self._policy.max_age
        if own is None or update.tell is Tell.NOTHING:
            return update
        return Update(update.tell, update.id, own(self.session), update.by_cookie)
