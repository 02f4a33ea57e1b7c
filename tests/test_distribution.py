"""What users install: the wheel and the source distribution, built as a release builds them, and what they pull in."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterable
from email.message import Message
from email.parser import Parser
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest
from packaging.licenses import canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGE = "sharedsession"
#: The packages that a plain installation brings.
RUNTIME = {"pymemcache", "werkzeug", "itsdangerous", "msgpack"}
#: Extra -> the packages that it brings.
EXTRAS = {"encrypt": {"cryptography"}, "flask": {"flask"}, "django": {"django"}, "pyramid": {"pyramid"}}
#: What is in a source distribution besides the package.
ALONGSIDE = {"CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "docs", "examples", "pyproject.toml", "src", "tests"}
_BUILD = "import flit_core.buildapi as api, sys; print(getattr(api, 'build_' + sys.argv[1])(sys.argv[2]))"


def tracked() -> list[str]:
    """Return the paths of all files that are, or are about to be, under version control."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this is no checkout")
    return [path for path in listed if path and (ROOT / path).is_file()]


def build(kind: str, tree: Path, into: Path) -> Path:
    """Build a wheel or an sdist of a tree, by the backend that pyproject.toml names, without any network."""
    into.mkdir(exist_ok=True)
    command = [sys.executable, "-c", _BUILD, kind, str(into)]
    built = subprocess.run(command, cwd=tree, capture_output=True, check=True, text=True)
    return into / built.stdout.split()[-1]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a clean copy of the tree."""
    copy = tmp_path_factory.mktemp("tree")
    for path in tracked():
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, copy / path)
    return copy


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel."""
    return build("wheel", tree, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a source distribution."""
    return build("sdist", tree, tmp_path_factory.mktemp("sdist"))


def names(wheel: Path) -> set[str]:
    """Return the paths of the files in a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return {info.filename for info in archive.infolist() if not info.is_dir()}


def described(wheel: Path) -> Message:
    """Return a wheel's metadata."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode())


# -- contents ------------------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_package(wheel: Path) -> None:
    """Every file of the package is in the wheel: modules, py.typed, what Django finds by its place; and no other."""
    expected = {path.removeprefix("src/") for path in tracked() if path.startswith("src/")}
    assert {name for name in names(wheel) if ".dist-info/" not in name} == expected
    found_by_place = {
        "py.typed",
        "__main__.py",
        "django/templatetags/sharedsession.py",
        "django/management/__init__.py",
        "django/management/commands/sharedsession.py",
    }
    assert expected >= {f"{PACKAGE}/{path}" for path in found_by_place}


def test_a_compiled_wheel(wheel: Path, tmp_path: Path) -> None:
    """What ./run compile --wheel makes holds the source too, is for this Python only, and runs without what made it."""
    stamp = ROOT / "build" / "compiled" / "stamp"
    if not stamp.exists() or sys.version not in stamp.read_text():
        pytest.skip("nothing is compiled for this Python: ./run compile")
    environ = {**os.environ, "SHAREDSESSION_OPT_LEVEL": stamp.read_text()[0]}
    command = [sys.executable, str(ROOT / "tools" / "compile.py"), "--wheel", str(tmp_path)]
    subprocess.run(command, env=environ, check=True, capture_output=True)
    (compiled,) = tmp_path.glob("*.whl")
    assert f"-cp{sys.version_info[0]}{sys.version_info[1]}-" in compiled.name
    assert names(compiled) > {name for name in names(wheel) if not name.endswith("RECORD")}
    with zipfile.ZipFile(compiled) as archive:
        archive.extractall(tmp_path)
    # -I: neither the tree nor what is set around it.
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import sharedsession.life as m; print(m.__file__)"
    found = subprocess.run([sys.executable, "-I", "-c", program], check=True, capture_output=True, text=True).stdout
    assert found.startswith(str(tmp_path))
    assert found.rstrip().endswith(".so")


def test_the_wheel_is_for_every_system(wheel: Path) -> None:
    """The wheel is pure Python, and beside the package has its licence, the command, and nothing unknown."""
    assert wheel.name == f"{PACKAGE}-{PROJECT['project']['version']}-py3-none-any.whl"
    beside = {name.partition(".dist-info/")[2] for name in names(wheel)} - {""}
    assert beside == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    """Name, Python, licence and packages that it needs are what the docs say: few, and each extra only its own."""
    said = described(wheel)
    assert (said["Name"], said["Requires-Python"], said["License-Expression"]) == (PACKAGE, ">=3.11", "BSD-3-Clause")
    assert set(said.get_all("Provides-Extra") or []) == set(EXTRAS)
    brought: dict[str, set[str]] = {}
    for requirement in map(Requirement, said.get_all("Requires-Dist") or []):
        extra = re.search(r'extra == "(\w+)"', str(requirement.marker))
        brought.setdefault(extra[1] if extra else "", set()).add(requirement.name)
        assert requirement.specifier, f"{requirement.name} is allowed in versions that nobody has tried"
        assert requirement.url is None
    assert brought == {"": RUNTIME, **EXTRAS}


def test_the_source_distribution_is_the_tree(sdist: Path, tree: Path) -> None:
    """Package, docs, examples and tests are in the source distribution, and nothing that is not tracked."""
    with tarfile.open(sdist) as archive:
        paths = {PurePosixPath(*PurePosixPath(name).parts[1:]) for name in archive.getnames()}
    assert {path.parts[0] for path in paths} == ALONGSIDE
    expected = {PurePosixPath(path) for path in tracked() if path.split("/")[0] in ALONGSIDE}
    assert paths - {PurePosixPath("PKG-INFO")} == expected


def test_the_source_distribution_builds_the_same_wheel(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    """Who builds from source gets, byte for byte, the files of the wheel."""
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    again = build("wheel", tmp_path / sdist.name.removesuffix(".tar.gz"), tmp_path / "wheel")
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
        assert all(one.read(name) == other.read(name) for name in one.namelist())


# -- dependencies --------------------------------------------------------------------------------------------------

_ROW = re.compile(r"^\| ([a-z]+) \| [^|]+ \| ([^|]+) \| [^|]+ \|$", re.MULTILINE)


def listed() -> dict[str, str]:
    """Return package -> licence, as the docs list them."""
    rows = _ROW.findall((ROOT / "docs" / "dependencies.md").read_text())
    return {name: licence for name, licence in rows if name != "package"}


def with_all_they_need(packages: Iterable[str]) -> set[str]:
    """Return installed packages and those that they need, directly or not, on this system."""
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        package = canonicalize_name(waiting.pop())
        if package not in found:
            found.add(package)
            requirements = map(Requirement, metadata.requires(package) or [])
            waiting += [
                each.name for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})
            ]
    return found


def licence_of(package: str) -> str:
    """Return what an installed package says of its licence: an SPDX expression, a classifier, or free text."""
    said = metadata.metadata(package)
    # Python 3.13 warns of a key that is not there.
    if "License-Expression" in said:
        return str(canonicalize_license_expression(said["License-Expression"]))
    classifiers = [
        each.rpartition(" :: ")[2] for each in said.get_all("Classifier") or [] if each.startswith("License ::")
    ]
    return ", ".join(classifiers) or said["License"].splitlines()[0]


#: How packages spell the licences that the docs name by their SPDX identifiers.
SPELLED = {
    "BSD-3-Clause": {"BSD-3-Clause", "BSD License"},
    "Apache-2.0": {"Apache-2.0", "Apache Software License"},
    "Apache-2.0 OR BSD-3-Clause": {"Apache-2.0 OR BSD-3-Clause", "Apache Software License, BSD License"},
    "MIT-0": {"MIT-0", "MIT License"},
    "LicenseRef-Repoze-BSD-derived": {"LicenseRef-Repoze-BSD-derived", "Repoze Public License"},
}


def brought() -> set[str]:
    """Return every package that an installation brings; of the frameworks' extras the framework alone."""
    frameworks = set().union(*(EXTRAS[name] for name in ("flask", "django", "pyramid")))
    return with_all_they_need(RUNTIME | EXTRAS["encrypt"]) | frameworks


def test_every_package_that_is_installed_is_listed() -> None:
    """The docs list every package that an installation brings, and no other, with the licence that it states."""
    rows = listed()
    assert set(rows) == brought()
    stated = {package: licence_of(package) for package in rows}
    assert {package: licence for package, licence in stated.items() if licence not in SPELLED[rows[package]]} == {}


def test_the_direct_ones_are_told() -> None:
    """What pyproject.toml asks for is what this file and the docs expect: one more is decided, not drifted into."""
    assert {Requirement(text).name for text in PROJECT["project"]["dependencies"]} == RUNTIME
    optional = PROJECT["project"]["optional-dependencies"]
    assert {extra: {Requirement(text).name for text in texts} for extra, texts in optional.items()} == EXTRAS


# -- pins ----------------------------------------------------------------------------------------------------------


def pinned() -> dict[str, str]:
    """Return package -> version, as constraints.txt pins them."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.partition("==") for line in lines if line and not line.startswith("#")]
    assert all(version for _, _, version in pairs), "constraints.txt pins by == only"
    return {canonicalize_name(name): version for name, _, version in pairs}


def test_every_package_of_development_is_pinned() -> None:
    """Whatever development installs, directly or not, is pinned: a build of today is a build of tomorrow."""
    direct = [Requirement(text).name for text in PROJECT["dependency-groups"]["dev"]]
    needed = with_all_they_need([*direct, *RUNTIME, *EXTRAS["flask"]]) | {"flit-core", "pip"}
    assert needed - set(pinned()) == set()
