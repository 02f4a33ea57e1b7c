"""When a Django session ends: what `set_expiry` stored, in seconds and as a cookie's age. Pure but for the clock."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.utils import timezone

from ..record import FOREVER
from ..session import Session

#: Attribute in which Django keeps what `set_expiry` was given: seconds, 0 for "until the browser closes", or a date.
EXPIRY = "_session_expiry"


def ends_with_browser(expiry: object) -> bool:
    """Say whether the session lasts until the browser closes (as `get_expire_at_browser_close`)."""
    return bool(settings.SESSION_EXPIRE_AT_BROWSER_CLOSE) if expiry is None else expiry == 0


def seconds_left(expiry: object) -> int | None:
    """Return the seconds until a fixed date of expiry, below 1 when that has passed; None when there is none."""
    if isinstance(expiry, str):
        expiry = datetime.fromisoformat(expiry)
    if isinstance(expiry, datetime):
        return int((expiry - timezone.now()).total_seconds())
    return None


def is_over(expiry: object) -> bool:
    """Say whether a session with this expiry has ended, however active it is."""
    left = seconds_left(expiry)
    return (left is not None and left < 1) or (type(expiry) is int and expiry < 0)


def interval_of(age: int) -> int:
    """Return an age in seconds as a max inactive interval."""
    return min(max(int(age), 1), FOREVER)


def cookie_age(session: Session) -> int | None:
    """Return the seconds for which the browser keeps the session cookie; None: until it closes."""
    expiry = session.get(EXPIRY)
    if ends_with_browser(expiry):
        return None
    left = seconds_left(expiry)
    return (session.max_inactive_interval or FOREVER) if left is None else max(left, 0)
