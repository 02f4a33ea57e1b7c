"""What an option's value must be like: each check raises a ConfigError that names the option."""

from __future__ import annotations

import re

from .errors import ConfigError

#: Ten years: longer is a mistake, and memcached counts seconds in 32 bits.
MAX_SECONDS = 10 * 365 * 86400


def require(ok: bool, option: str, problem: str) -> None:
    """Refuse an option unless `ok`."""
    if not ok:
        raise ConfigError(option, problem)


def require_list(option: str, value: object, of: str) -> None:
    """Refuse what is no list or tuple."""
    # The value is not shown: it may be a secret.
    require(isinstance(value, tuple | list), option, f"expected a list of {of}, not {type(value).__name__}")


def require_bool(option: str, value: object) -> None:
    """Refuse what is neither True nor False."""
    require(isinstance(value, bool), option, f"{value!r} is not True or False")


def require_int(option: str, value: object, low: int, high: int, hint: str = "") -> None:
    """Refuse what is no whole number from `low` to `high`."""
    ok = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
    require(ok, option, f"{value!r} is not a whole number from {low} to {high}{' (' + hint + ')' if hint else ''}")


def require_seconds(option: str, value: object, *, optional: bool) -> None:
    """Refuse what is no whole number of seconds up to ten years, nor None if that is allowed."""
    ok = (optional and value is None) or (
        isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_SECONDS
    )
    require(
        ok,
        option,
        f"{value!r} is not a whole number of seconds from 1 to {MAX_SECONDS}{', or None' if optional else ''}",
    )


def matches(pattern: re.Pattern[str], value: object) -> bool:
    """Say whether a value is text of that form."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None
