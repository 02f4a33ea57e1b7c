"""What the sessions hold: plain JSON types, so that every contender can keep them."""

from __future__ import annotations

from typing import Any

#: What an application does with the session, one kind a request; "read" reads one attribute, "readall" every one.
KINDS = ("untouched", "read", "readall", "change", "create", "login", "logout")
#: Kinds that come with the cookie of a session, and those after which that session is of no use any more.
WITH_COOKIE = frozenset(KINDS) - {"create"}
CONSUMING = frozenset({"login", "logout"})


def _line(number: int) -> dict[str, Any]:
    return {
        "sku": f"TEA-{number:05d}",
        "title": f"Darjeeling first flush, lot {number}",
        "price": 1299 + number,
        "quantity": 1 + number % 3,
        "options": {"gift": number % 2 == 0, "note": None, "sizes": [50, 100, 250], "wrap": "paper"},
    }


SMALL: dict[str, Any] = {
    "user": "alice@example.org",
    "count": 1,
    "theme": "dark",
    "cart": [
        {"sku": "TEA-00017", "title": "Darjeeling first flush", "quantity": 2},
        {"sku": "TEA-00042", "title": "Assam, second flush", "quantity": 1},
    ],
    "csrf": "b0f1c5b7d5c24c3f8d5b8f1f6f0f4b8ab0f1c5b7d5c24c3f8d5b8f1f6f0f4b8a",
}

#: What Django's and Flask's log-ins leave.
LOGIN: dict[str, Any] = SMALL | {
    "_auth_user_id": "184467",
    "_auth_user_backend": "django.contrib.auth.backends.ModelBackend",
    "_auth_user_hash": "9f2feb0f1ef425b292f2f94bc8482494df48b2dd51cb2fbc3f0f4b8ab0f1c5b7",
    "_fresh": True,
    "_id": "1f0e3dad99908345f7439f8ffabdffc4b0f1c5b7d5c24c3f8d5b8f1f6f0f4b8a" * 2,
}

PAYLOADS: dict[str, dict[str, Any]] = {
    "small": SMALL,
    "auth": LOGIN,
    "large": SMALL | {"cart": [_line(number) for number in range(115)]},
    "huge": SMALL | {"cart": [_line(number) for number in range(1120)]},
}
