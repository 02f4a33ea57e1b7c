"""Ready-made functions for the option `fingerprint`."""

from __future__ import annotations

import re
from typing import Any

_VERSION = re.compile(r"[0-9._]+")


def user_agent(environ: dict[str, Any]) -> str:
    """Return the browser and the system by the User-Agent header, without versions: an update logs nobody out.

        SessionMiddleware(app, fingerprint="sharedsession.fingerprints:user_agent", ...)

    Holds up a stolen cookie in the hands of a program, or of another browser; not a thief who sends that header too.
    """
    return _VERSION.sub("", str(environ.get("HTTP_USER_AGENT", "")))
