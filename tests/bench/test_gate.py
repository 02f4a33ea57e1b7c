"""The figures without noise against those recorded in figures.txt (`./run bench --record` records them anew)."""

from __future__ import annotations

import pytest

from . import instructions, recorded

#: What a request may take more than recorded. Two counts of the same code differ by less than a hundredth.
_TOLERANCE = 0.05


def test_a_request_takes_the_recorded_commands_and_waits() -> None:
    """No kind of request asks memcached more often, or waits for it more often, than is recorded; nor less."""
    assert recorded.count_traffic() == recorded.read()[1]


def test_a_request_takes_no_more_instructions_than_recorded() -> None:
    """No counted kind of request takes over a twentieth more instructions than is recorded, nor less."""
    compare(recorded.COUNTED)


def test_a_compiled_request_takes_no_more_instructions_than_recorded() -> None:
    """The same of what is compiled: `./run test` asks for it in its second part, when that is there."""
    if not recorded.compiled():
        pytest.skip("nothing is compiled, or not as ./run test does it")
    compare(recorded.COMPILED)


def compare(wanted: list[tuple[str, str]]) -> None:
    """Count the instructions of some kinds of request again."""
    environment, _, expected = recorded.read()
    if not instructions.available():
        pytest.skip("instructions are counted by valgrind, which is not installed")
    if environment != recorded.environment():
        pytest.skip("instructions were recorded with another Python or other packages: ./run bench --record")
    names = [f"{contender} {kind}" for contender, kind in wanted]
    assert {name: pytest.approx(expected[name], rel=_TOLERANCE) for name in names} == recorded.count_instructions(
        wanted
    )
