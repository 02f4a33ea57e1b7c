"""Source packages of other projects, for their test suites: fetched from the package index once, never committed."""

from __future__ import annotations

import fcntl
import importlib.metadata
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Where they lie unpacked; git ignores it.
CACHE = ROOT / ".venv" / "peers"
#: Pins for pip, which asks a package's build backend what it is. Django's needs another setuptools than Pyramid has.
BUILD = Path(__file__).with_name("build-constraints.txt")
#: Seconds that pip may take.
FETCH_TIMEOUT = 300


class SourceUnavailableError(Exception):
    """The source package could be neither found in the cache nor fetched."""


def source_of(package: str) -> Path:
    """Return the unpacked source package of an installed package, of the very version that is installed.

    It is fetched by pip at the first call and kept from then on. Several processes may ask at once.

    Raises:
        SourceUnavailableError: the package index cannot be reached, or does not have it.
        PackageNotFoundError: the package is not installed.
    """
    version = importlib.metadata.version(package)
    place = CACHE / f"{package.lower()}-{version}"
    with _alone():
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                # Renamed when it is complete: an interrupted run leaves no half of it.
                _unpack(_fetch(f"{package}=={version}", Path(folder)), Path(folder) / "tree").rename(place)
    return place


@contextmanager
def _alone() -> Iterator[None]:
    """Let one process at a time look for packages."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--dest", str(folder)]
    command += ["--disable-pip-version-check", "--build-constraint", str(BUILD), requirement]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise SourceUnavailableError(f"pip took more than {FETCH_TIMEOUT} s: {' '.join(command)}") from error
    found = sorted(folder.glob("*.tar.gz"))
    if done.returncode or not found:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-8:])
        raise SourceUnavailableError(
            f"the source package {requirement}, whose tests are run here, cannot be had; its tests need the package "
            f"index once. `{' '.join(command)}` said:\n{said}"
        )
    return found[0]


def _unpack(archive: Path, into: Path) -> Path:
    """Unpack an archive; return the one folder that it holds."""
    with tarfile.open(archive) as packed:
        packed.extractall(into, filter="data")
    (tree,) = into.iterdir()
    return tree
