"""The house: which file may import which, so that the two arms stay apart; and that every file stays readable."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import sharedsession

ROOT = Path(sharedsession.__file__).parent

#: From the ground up. A file imports from the floors below its own, and on its floor from those to its left.
FLOORS: list[list[str]] = [
    ["memcached", "tracking", "compiling", "errors", "cipher", "nodelist", "discovery", "requirements", "config",
     "settings", "mac", "ids", "record", "dialogue", "forking", "stats", "view", "fingerprints"],
    ["packing", "values", "compression", "codec", "memcached.commands", "memcached.ring", "memcached.wire",
     "memcached.patience", "memcached.access", "memcached.opening", "memcached.protocol",
     "memcached.connection", "memcached.health", "memcached.node", "memcached.transport", "memcached.dump"],
    ["attributes", "facade", "session", "memory", "memcached.cluster", "memcached.copies",
     "memcached.outcomes", "memcached.settle", "memcached.store", "memcached.transaction", "memcached.move",
     "memcached.membership", "memcached.sweep", "memcached.agreement"],
    ["lines", "lock", "principals", "manager", "guard", "state", "listing", "commit", "life"],
    ["tracking.caching", "tracking.url", "tracking.form", "tracking.cookie", "tracking.guards", "tracking.references",
     "tracking.tags", "tracking.foreign", "tracking.fence", "tracking.ignored", "tracking.handler", "tracking.html",
     "tracking.guard", "tracking.rules", "tracking.forms", "tracking.pages", "tracking.rewritten",
     "tracking.tracking"],
    ["exchange", "assembly", "sessions", "diagnostics", "__main__"],
    ["response", "rewriting", "serving", "middleware", "flaskcookies", "flask", "pyramid", "testing.sessions",
     "testing", "testing.fixtures", "django.types", "django.expiry", "django.options", "django.session",
     "django.response", "django.middleware", "django.checks", "django.apps", "django.templatetags",
     "django.templatetags.sharedsession", "django.management", "django.management.commands",
     "django.management.commands.sharedsession", "django", "__init__"],
]  # fmt: skip
ORDER = [name for floor in FLOORS for name in floor]

#: The only files that import a package from outside; everything else is the standard library.
OUTSIDE: dict[str, set[str]] = {
    "pymemcache": {"memcached.opening"},
    "msgpack": {"packing", "values", "codec"},
    "itsdangerous": {"ids"},
    "cryptography": {"cipher"},
    "markupsafe": {"values", "tracking.form", "tracking.tracking", "exchange", "middleware", "flask"},
    "werkzeug": {"errors", "config", "view", "tracking.cookie", "tracking.form", "tracking.rewritten"},
    "flask": {"flaskcookies", "flask"},
    "flask_login": {"flask"},
    "django": {
        "django.types",
        "django.expiry",
        "django.options",
        "django.session",
        "django.middleware",
        "django.response",
        "django.checks",
        "django.apps",
        "django.templatetags.sharedsession",
        "django.management.commands.sharedsession",
    },
    "pyramid": {"pyramid"},
    "zope": {"pyramid"},
    "pytest": {"testing.fixtures"},
    "asgiref": {"django.session", "django.middleware", "django.response"},
    "mypy_extensions": {"compiling"},
    "_typeshed": {"response", "rewriting", "serving", "middleware", "flask"},
}

#: Files whose result depends on their arguments only.
PURE = ["nodelist", "config", "mac", "ids", "record", "dialogue", "values", "compression", "codec", "attributes",
        "session", "memcached.ring", "memcached.commands", "tracking.caching", "tracking.cookie", "tracking.url",
        "tracking.form", "tracking.references", "tracking.tags", "tracking.foreign", "tracking.fence",
        "tracking.ignored", "tracking.handler", "tracking.html", "tracking.guard", "tracking.rules", "tracking.forms",
        "tracking.pages", "tracking.rewritten"]  # fmt: skip
IMPURE_MODULES = {"time", "socket", "select", "os", "threading", "logging", "random", "subprocess", "asyncio", "io"}

#: One file says what is done and how is spread over it; longer ones are not read any more.
MOST_LINES = 400


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1]) if parts[-1] == "__init__" and len(parts) > 1 else ".".join(parts)


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def imported(name: str) -> Iterator[str]:
    """Yield what a module imports, anywhere in it: ours as `.name`, others by their full name."""
    package = FILES[name].relative_to(ROOT).parts[:-1]
    for item in ast.walk(TREES[name]):
        if isinstance(item, ast.Import):
            for alias in item.names:
                yield absolute(alias.name)
        elif isinstance(item, ast.ImportFrom) and item.level == 0:
            yield absolute(item.module or "")
        elif isinstance(item, ast.ImportFrom):
            above = package[: len(package) - item.level + 1]
            if item.module:
                yield "." + ".".join([*above, item.module])
            else:
                yield from ("." + ".".join([*above, alias.name]) for alias in item.names)


def absolute(module: str) -> str:
    return "." + (module.partition(".")[2] or "__init__") if module.split(".")[0] == "sharedsession" else module


OURS = {name: {other[1:] for other in imported(name) if other.startswith(".")} for name in FILES}
OTHERS = {name: {other.split(".")[0] for other in imported(name) if not other.startswith(".")} for name in FILES}


def reached_from(name: str) -> set[str]:
    """Return every module of ours that a module needs, directly or not."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for other in OURS[waiting.pop()] - found:
            found.add(other)
            waiting.append(other)
    return found


# -- floors --------------------------------------------------------------------------------------------------------


def test_every_file_has_its_floor() -> None:
    """A new file is given a place in the house before it is written, and no place is left for a file that is gone."""
    assert sorted(ORDER) == sorted(FILES)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_imports_only_from_below(name: str) -> None:
    """Imports go down the house only, type-checking ones and those inside functions too: there is no cycle."""
    below = ORDER[: ORDER.index(name)]
    assert OURS[name] - set(below) == set()


def test_the_check_sees_imports() -> None:
    """The parser of this test finds what is plainly there, so that the other tests can fail."""
    assert OURS["tracking.cookie"] >= {"config", "dialogue", "view", "tracking.caching"}
    assert OURS["memcached.store"] >= {"record", "memcached.copies", "memcached.ring"}
    assert "middleware" in OURS["__init__"]
    assert "pymemcache" in OTHERS["memcached.opening"]
    assert reached_from("memcached.store") >= {"codec", "ids", "nodelist"}


# -- the two arms --------------------------------------------------------------------------------------------------

STORAGE = ["codec", "record", "memory", *(name for name in FILES if name.startswith("memcached"))]
DIALOGUE = ["view", "dialogue", *(name for name in FILES if name.startswith("tracking"))]


@pytest.mark.parametrize("name", STORAGE)
def test_storage_knows_nothing_of_the_client(name: str) -> None:
    """The storage arm needs nothing of HTTP: neither requests, nor cookies, nor what a client is told."""
    forbidden = {"view", "dialogue", "exchange", "middleware", "flask", "session", "config", "attributes", *FLOORS[3]}
    assert not {other for other in reached_from(name) if other in forbidden or other.startswith("tracking")}


@pytest.mark.parametrize("name", DIALOGUE)
def test_the_dialogue_knows_nothing_of_storage(name: str) -> None:
    """The arm that speaks with the client knows no store, no record, no ring and no verified id."""
    forbidden = {"memory", "codec", "record", "values", "attributes", "session", "ids", "exchange", *FLOORS[3]}
    assert not {other for other in reached_from(name) if other in forbidden or other.startswith("memcached")}


def test_the_session_knows_neither_store_nor_http() -> None:
    """What the application holds is a mapping with a life cycle; the rest is behind its Life."""
    known = {"facade", "compiling", "attributes", "dialogue", "record", "packing", "values", "compression"}
    assert reached_from("session") <= known


@pytest.mark.parametrize("name", FLOORS[3])
def test_the_commit_table_knows_no_http(name: str) -> None:
    """What becomes of a session is decided without headers, cookies or environ."""
    assert not {other for other in reached_from(name) if other in {"view", "exchange"} or "tracking" in other}


def test_the_arms_meet_in_one_file() -> None:
    """Only `exchange` imports both arms; what puts the parts together (`assembly`) only builds them."""
    meeting = {
        name
        for name in FILES
        if any(other.startswith("tracking") for other in OURS[name])
        and any(other in {"memory", *FLOORS[3]} or other.startswith("memcached") for other in OURS[name])
    }
    assert meeting == {"exchange", "assembly"}


def test_faces_hold_no_policy() -> None:
    """Faces for frameworks know the store and the tracking only through what is given to them."""
    for face in ("middleware", "flask"):
        assert not {other for other in OURS[face] if other.startswith(("memcached", "tracking")) or other in FLOORS[3]}


@pytest.mark.parametrize("package", sorted(OUTSIDE))
def test_a_foreign_package_is_known_to_few(package: str) -> None:
    """Each dependency is used where it belongs: pymemcache in one file only, so that it can be replaced there."""
    assert {name for name in FILES if package in OTHERS[name]} <= OUTSIDE[package]


def test_nothing_else_is_imported() -> None:
    """There is no dependency beside those, pickle and the like included."""
    everything = set().union(*OTHERS.values())
    assert everything - set(OUTSIDE) <= set(sys.stdlib_module_names)
    assert not everything & {"pickle", "marshal", "shelve", "dill"}


@pytest.mark.parametrize("name", PURE)
def test_pure_files_have_no_clock_and_no_io(name: str) -> None:
    """What is called pure reads no clock, opens nothing, logs nothing and starts no thread."""
    assert not OTHERS[name] & IMPURE_MODULES


# -- readable ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_is_short_enough_to_be_read(name: str) -> None:
    """No file grows beyond what one sitting can take in."""
    assert len(FILES[name].read_text().splitlines()) <= MOST_LINES


def undocumented(node: ast.Module | ast.ClassDef, path: str = "") -> Iterator[str]:
    if not ast.get_docstring(node):
        yield path or "the module"
    for item in node.body:
        if not isinstance(item, ast.ClassDef | ast.FunctionDef) or item.name.startswith("_"):
            continue
        full = f"{path}.{item.name}".lstrip(".")
        if isinstance(item, ast.FunctionDef):
            # A setter shares its property's docstring.
            setter = any(isinstance(mark, ast.Attribute) and mark.attr == "setter" for mark in item.decorator_list)
            if not setter and not ast.get_docstring(item):
                yield full
        else:
            is_protocol = any("Protocol" in ast.unparse(base) for base in item.bases)
            yield from ([full] if not ast.get_docstring(item) else []) if is_protocol else undocumented(item, full)


@pytest.mark.parametrize("name", sorted(FILES))
def test_everything_public_is_documented(name: str) -> None:
    """Every module, public class, function and method says in a docstring what it promises."""
    assert list(undocumented(TREES[name])) == []
