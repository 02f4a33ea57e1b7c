"""The Django app: system checks, and its settings for a WSGI middleware around Django's handler."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks
from django.core.handlers.wsgi import WSGIHandler

from ..middleware import LENDERS
from .checks import check_deployment, check_settings
from .options import project


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
