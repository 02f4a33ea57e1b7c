"""The short form of the fuzzing: every input that once was trouble, and fresh ones. `python -m fuzz` runs millions."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from .catalogue import CORPUS, TARGETS, corpus
from .engine import Finding, fuzz, replay, smaller
from .guide import Lines
from .target import Target

#: Fresh inputs for each target.
CASES = int(os.environ.get("FUZZ_CASES", "2000"))
FILES = [path for name in TARGETS for path in corpus(name)]


@cache
def _made(name: str) -> Target:
    return TARGETS[name]()


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_the_corpus(path: Path) -> None:
    """An input that once broke a promise, or was made to, breaks none."""
    result = replay(_made(path.parent.name), path.read_bytes())
    assert not isinstance(result, Finding), str(result)


@pytest.mark.parametrize("name", TARGETS)
def test_fresh_inputs(name: str) -> None:
    """No input breaks a promise. The same ones in every run, so that a failure in CI is the failure here."""
    seed = int(os.environ.get("FUZZ_SEED", "20261122"))
    outcome = fuzz(TARGETS[name](), CASES, seed)
    assert outcome.executions > CASES
    assert not outcome.findings, f"seed {seed}\n" + "\n".join(map(str, outcome.findings.values()))


def test_every_corpus_has_its_target() -> None:
    """No directory of the corpus is forgotten when a target gets another name, and every target has one."""
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)


# -- the engine ----------------------------------------------------------------------------------------------------


def _fragile(data: bytes) -> int:
    """Break at an "x" within quotes, which chance alone hardly makes."""
    begin = data.find(b"<quote>")
    if begin >= 0 and b"x" in data[begin:]:
        raise ZeroDivisionError
    return begin


def test_a_broken_promise_is_found_and_made_small() -> None:
    """The engine finds a planted fault within some thousand inputs, and leaves nothing in it that is not needed."""
    target = Target(_fragile, (b"some text", b"a <quote>"), (b"x", b" "), 100)
    outcome = fuzz(target, 5000, seed=1)
    (finding,) = outcome.findings.values()
    assert isinstance(finding.error, ZeroDivisionError)
    assert smaller(target, finding).data == b"<quote>x"


def test_what_leads_somewhere_new_is_kept() -> None:
    """Inputs that go further are mutated again: chance alone would not find four steps in a row."""

    def run(data: bytes) -> int:
        depth = next((depth for depth in range(4, -1, -1) if data.startswith(b"\x11\x22\x33\x44"[:depth])), 0)
        assert depth < 4
        return depth

    target = Target(run, (b"\x11",), (b"\x22", b"\x33", b"\x44", *(bytes([number]) for number in range(100, 200))), 50)
    assert fuzz(target, 60_000, seed=1).findings


def test_the_same_seed_gives_the_same_inputs() -> None:
    """A finding can be had again by its seed."""
    seen: list[list[bytes]] = [[], []]
    for inputs in seen:
        fuzz(Target(lambda data, inputs=inputs: inputs.append(data), (b"a",), (b"b", b"c")), 200, seed=7)  # type: ignore[misc]
    assert seen[0] == seen[1]
    assert len(set(seen[0])) > 50


def test_an_endless_parser_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that takes too long is a finding like any other, and does not hold up the rest."""
    monkeypatch.setattr("fuzz.engine.TIME_LIMIT", 0.05)

    def run(data: bytes) -> None:
        while data == b"spin":
            pass

    result = replay(Target(run, (), ()), b"spin")
    assert isinstance(result, Finding)
    assert type(result.error).__name__ == "TooSlowError"


def test_lines_are_counted_where_python_can() -> None:
    """From Python 3.12 the lines of the library guide the search."""
    lines = Lines()
    with lines.counting():
        replay(TARGETS["nodes"](), b"n1:[::1]")
    assert lines.new() == (lines.count > 0)
    assert lines.count == 0 or hasattr(__import__("sys"), "monitoring")
