"""The tests of the html5lib project, as its source package on the package index holds them; never committed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peers.sources import CACHE, FETCH_TIMEOUT, SourceUnavailableError, _alone, _unpack

PACKAGE = "html5lib==1.1"
_BUILD = Path(__file__).with_name("build-constraints.txt")


def folder() -> Path:
    """Return the folder of the tests; fetched by pip at the first call and kept.

    Raises:
        SourceUnavailableError: the package index cannot be reached.
    """
    place = CACHE / PACKAGE.replace("==", "-")
    with _alone():
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as into:
                _unpack(_fetch(Path(into)), Path(into) / "tree").rename(place)
    return place / "html5lib" / "tests" / "testdata"


def _fetch(into: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--dest", str(into)]
    command += ["--disable-pip-version-check", "--build-constraint", str(_BUILD), PACKAGE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT, check=False)
    found = sorted(into.glob("*.tar.gz"))
    if done.returncode or not found:
        raise SourceUnavailableError(f"{PACKAGE}, whose tests are run here, cannot be had:\n{done.stderr[-2000:]}")
    return found[0]


def tokenizer_tests() -> Iterator[dict[str, Any]]:
    """Yield the tests of the tokenizer, with their escapes undone."""
    for path in sorted((folder() / "tokenizer").glob("*.test")):
        for test in json.loads(path.read_text())["tests" if path.name != "xmlViolation.test" else "xmlViolationTests"]:
            if test.get("doubleEscaped"):
                test["input"] = _unescape(test["input"])
                test["output"] = json.loads(json.dumps(test["output"]).replace("\\\\u", "\\u"))
            yield {**test, "file": path.stem}


def _unescape(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode("unicode_escape") if "\\u" in text else text


def documents() -> Iterator[bytes]:
    """Yield the pages of the tests of tree construction: broken in every way that is known."""
    for path in sorted((folder() / "tree-construction").rglob("*.dat")):
        for test in path.read_bytes().split(b"#data\n")[1:]:
            yield test.partition(b"\n#errors")[0]
