"""The public face of the package: its names, its types, and what importing it costs."""

from __future__ import annotations

import importlib.resources
import os
import subprocess
import sys

import pytest

import sharedsession

NAMES = {
    "ConfigError",
    "CookieConfig",
    "HeadersSentError",
    "Session",
    "SessionConfig",
    "SessionMiddleware",
    "SessionTooLargeError",
    "SharedSessionError",
    "StoreError",
    "StoreUnavailableError",
    "encode_redirect_url",
    "encode_url",
    "get_session",
    "hidden_field",
    "register_type",
}


def python(program: str, *options: str) -> str:
    """Run a program in a Python of its own; return what it printed."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, *options, "-c", program], env=environ, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_public_names_never_vanish() -> None:
    """Every name that could be imported from the package still can."""
    assert set(sharedsession.__all__) >= NAMES


def test_star_import_gives_exactly_the_public_names() -> None:
    """`from sharedsession import *` brings every public name and nothing else."""
    namespace: dict[str, object] = {}
    exec("from sharedsession import *", namespace)
    namespace.pop("__builtins__")
    assert sorted(namespace) == sorted(sharedsession.__all__)
    assert len(set(sharedsession.__all__)) == len(sharedsession.__all__)


def test_nothing_else_looks_public() -> None:
    """What is not in `__all__` is a module or begins with an underscore, so that completion shows no strangers."""
    strangers = [
        name
        for name, item in vars(sharedsession).items()
        if not name.startswith("_")
        and name not in sharedsession.__all__
        and not hasattr(item, "__path__")
        and type(item).__name__ != "module"
    ]
    assert strangers == []


@pytest.mark.parametrize("name", sorted(sharedsession.__all__))
def test_every_public_name_is_documented(name: str) -> None:
    """help() says something of our own about every public name."""
    assert (getattr(sharedsession, name).__doc__ or "").strip()


def test_the_package_ships_its_types() -> None:
    """The marker of PEP 561 lies in the package, so that users' type checkers read our annotations."""
    assert importlib.resources.files("sharedsession").joinpath("py.typed").is_file()


def test_importing_needs_no_framework() -> None:
    """Flask is an extra: the package itself imports neither Flask nor any other framework."""
    program = "import sys, sharedsession; print(*sorted({'flask', 'django', 'gevent', 'jinja2'} & set(sys.modules)))"
    assert python(program) == "\n"


def test_importing_is_silent() -> None:
    """Importing warns of nothing, logs nothing and prints nothing."""
    assert python("import sharedsession", "-W", "error") == ""
