"""Source packages are fetched once, and it is said plainly when they cannot be."""

from __future__ import annotations

import tarfile
import threading
from pathlib import Path

import pytest
from peers import sources


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty cache that is used in place of the real one."""
    monkeypatch.setattr(sources, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_no_index(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package index cannot be reached the error names the package and the command, and nothing is kept."""
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(sources.SourceUnavailableError, match="source package Flask==") as caught:
        sources.source_of("Flask")
    assert "-m pip download" in str(caught.value)
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_fetched_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that ask at once one fetches; all get the same folder, with the package in it."""
    fetched: list[str] = []

    def fetch(requirement: str, folder: Path) -> Path:
        fetched.append(requirement)
        (folder / "made").write_text("x")
        with tarfile.open(folder / "made.tar.gz", "w:gz") as packed:
            packed.add(folder / "made", "flask-0/setup.py")
        return folder / "made.tar.gz"

    monkeypatch.setattr(sources, "_fetch", fetch)
    found: list[Path] = []
    asking = [threading.Thread(target=lambda: found.append(sources.source_of("Flask"))) for _ in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(60)
    assert len(fetched) == 1
    assert {path.parent for path in found} == {cache}
    assert len({*found}) == 1
    assert len(found) == 4
    assert (found[0] / "setup.py").read_text() == "x"
