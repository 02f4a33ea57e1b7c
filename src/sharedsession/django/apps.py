"""The Django app: system checks, and its settings for a WSGI middleware around Django's handler."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.auth.signals import user_logged_in
from django.core import checks
from django.core.handlers.wsgi import WSGIHandler

from ..middleware import LENDERS
from .checks import check_deployment, check_settings
from .options import project
from .session import SessionStore


class SharedSessionConfig(AppConfig):
    """`INSTALLED_APPS += ["sharedsession.django"]`."""

    name = "sharedsession.django"
    label = "sharedsession"
    verbose_name: str = "Shared sessions"

    def ready(self) -> None:
        """Register what belongs to the process, once."""
        checks.register(check_settings, "sharedsession")
        checks.register(check_deployment, "sharedsession", deploy=True)
        LENDERS[WSGIHandler] = project.lend
        user_logged_in.connect(_name_principal, dispatch_uid="sharedsession.django")


def _name_principal(request: Any, user: Any, **_: object) -> None:
    """Let the session know whose it is: by the primary key, which no other user ever gets."""
    session = getattr(request, "session", None)
    if isinstance(session, SessionStore):
        session.principal = str(user.pk)
