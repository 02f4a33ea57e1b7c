"""Runs a target on many inputs, keeps those that led somewhere new, and makes findings small."""

from __future__ import annotations

import logging
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import inf
from random import Random
from types import FrameType

from sharedsession.stats import logger

from .guide import Lines
from .mutation import made_of, mutated
from .target import Target

#: Seconds of processor time that one input may take.
TIME_LIMIT = 5.0
#: Inputs that are kept to be mutated; an old one makes place for a new one.
_KEPT = 1000
#: Of ten inputs so many are made of words alone.
_FRESH = 0.2
#: Different findings after which a target is left.
_ENOUGH = 10


class TooSlowError(BaseException):
    """An input took more than `TIME_LIMIT`; no `except Exception` of the parser hides it."""


@dataclass
class Finding:
    """An input that broke a promise."""

    data: bytes
    error: BaseException

    @property
    def where(self) -> str:
        """The kind of error and the line that raised it: two findings with the same are one."""
        last = traceback.extract_tb(self.error.__traceback__)[-1]
        return f"{type(self.error).__name__} in {last.filename.rpartition('/')[2]}:{last.lineno}"

    def __str__(self) -> str:
        trace = "".join(traceback.format_exception(self.error))
        return f"{self.where} by {len(self.data)} bytes: {self.data!r}\n{trace}"


@dataclass
class Outcome:
    """What came of fuzzing one target."""

    executions: int = 0
    #: Inputs that led somewhere new.
    kept: int = 0
    #: Lines of the library that ran, where they are counted.
    lines: int = 0
    findings: dict[str, Finding] = field(default_factory=dict)


def fuzz(target: Target, cases: int, seed: int, seconds: float = inf) -> Outcome:
    """Run the target on its seeds and then on fresh inputs; the same ones for the same seed of chance.

    Args:
        target: what is fuzzed.
        cases: number of fresh inputs.
        seed: of chance.
        seconds: after which no more are made, however many are missing.
    """
    until = time.monotonic() + seconds
    outcome, lines, random = Outcome(), Lines(), Random(seed)
    pool: list[bytes] = []
    known: set[Hashable] = set()
    with _watched(), lines.counting():
        for data in _inputs(target, cases, random, pool):
            if time.monotonic() > until:
                break
            outcome.executions += 1
            result = _attempt(target, data)
            if isinstance(result, Finding):
                outcome.findings.setdefault(result.where, result)
                if len(outcome.findings) >= _ENOUGH:
                    break
            elif lines.new() or result not in known:
                known.add(result)
                outcome.kept += 1
                _keep(pool, data, random)
    outcome.lines = lines.count
    return outcome


def _inputs(target: Target, cases: int, random: Random, pool: list[bytes]) -> Iterator[bytes]:
    yield from target.seeds
    for _ in range(cases):
        if not pool or random.random() < _FRESH:
            data = made_of(target.words, random)
        else:
            data = mutated(random.choice(pool), target.words, pool, random)
        yield data[: target.longest]


def _keep(pool: list[bytes], data: bytes, random: Random) -> None:
    if len(pool) < _KEPT:
        pool.append(data)
    else:
        pool[int(random.random() * _KEPT)] = data


def replay(target: Target, data: bytes) -> Finding | Hashable:
    """Run the target on one input; return what became of it, or the finding it is."""
    with _watched():
        return _attempt(target, data)


def _attempt(target: Target, data: bytes) -> Finding | Hashable:
    try:
        _arm(TIME_LIMIT)
        return target.run(data)
    except (Exception, TooSlowError) as error:
        return Finding(data, error)


def smaller(target: Target, finding: Finding) -> Finding:
    """Return the smallest input found that breaks the same promise in the same line: parts are left out, ever finer."""
    size = len(finding.data) // 2
    while size:
        at = 0
        while at < len(finding.data):
            found = replay(target, finding.data[:at] + finding.data[at + size :])
            if isinstance(found, Finding) and found.where == finding.where:
                finding = found
            else:
                at += size
        size //= 2
    return finding


@contextmanager
def _watched() -> Iterator[None]:
    """Let an alarm interrupt what takes too long (only in the main thread), and the library be silent."""
    silence, in_main = logging.NullHandler(), threading.current_thread() is threading.main_thread()
    former = signal.signal(signal.SIGPROF, _too_slow) if in_main else None
    logger.addHandler(silence)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(silence)
        _arm(0)
        if in_main:
            signal.signal(signal.SIGPROF, former)


def _arm(seconds: float) -> None:
    if threading.current_thread() is threading.main_thread():  # nobody else is interrupted
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlowError(f"more than {TIME_LIMIT:g} seconds of processor time")
