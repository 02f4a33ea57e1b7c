"""Tests of the Django face, in a project that is configured here: whatever of Django is imported comes after this."""

from __future__ import annotations

from typing import Any

import django
import webclient
from django.conf import settings
from django.core.management import call_command

MIDDLEWARE = "sharedsession.django.SharedSessionMiddleware"
DJANGOS_MIDDLEWARE = "django.contrib.sessions.middleware.SessionMiddleware"
#: What comes after the session's middleware.
FURTHER = [
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
_PROCESSORS = ["template.context_processors.request", "contrib.auth.context_processors.auth"]
_PROCESSORS += ["contrib.messages.context_processors.messages"]
SETTINGS: dict[str, Any] = {
    "SECRET_KEY": webclient.SECRET,
    "ALLOWED_HOSTS": ["*"],
    "USE_TZ": True,
    "DATABASES": {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    "PASSWORD_HASHERS": ["django.contrib.auth.hashers.MD5PasswordHasher"],
    "ROOT_URLCONF": "djangoface",
    "STATIC_URL": "/static/",
    "LOGGING_CONFIG": None,
    "INSTALLED_APPS": [
        "django.contrib.admin",
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django.contrib.messages",
        "sharedsession.django",
    ],
    "MIDDLEWARE": [MIDDLEWARE, *FURTHER],
    "SESSION_ENGINE": "sharedsession.django",
    "TEMPLATES": [
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {"context_processors": [f"django.{name}" for name in _PROCESSORS]},
        }
    ],
}

settings.configure(**SETTINGS)
django.setup()
call_command("migrate", verbosity=0)

urlpatterns: list[Any] = []
