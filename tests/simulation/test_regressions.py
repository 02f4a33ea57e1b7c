"""The failures that the design names, as written-out histories: they must never come back."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest

from . import histories, mutants
from .script import Script, play

History = Callable[[Script], None]

HISTORIES: dict[str, History] = {
    name: history
    for name, history in vars(histories).items()
    if inspect.isfunction(history) and history.__module__ == histories.__name__ and not name.startswith("_")
}

#: A history, and the protection without which it breaks a promise.
PROTECTIONS: list[tuple[History, mutants.Mutant]] = [
    (histories.plain_write_overtakes_a_transaction, mutants.function_runs_again),
    (histories.orphan_copy_returns_after_log_out, mutants.short_lived_tombstones),
    (histories.slow_request_commits_after_log_out, mutants.short_lived_tombstones),
    (histories.slow_request_commits_after_log_out, mutants.blind_set),
    (histories.write_lands_while_the_id_changes, mutants.move_carries_nothing),
    (histories.write_follows_a_changed_id, mutants.late_changes_do_not_follow),
    (histories.only_copy_dies_after_the_answer, mutants.first_copy_is_enough),
    (histories.write_between_two_loads, mutants.older_record_with_fresh_token),
    (histories.stale_node_returns, mutants.repaired_before_compared),
    (histories.write_seen_on_one_copy_only, mutants.merge_drops_attributes),
    (histories.restarted_node_numbers_from_one, mutants.tokens_outlive_connections),
    (histories.stale_node_returns, mutants.returned_node_is_trusted),
    (histories.stopped_holder_commits_late, mutants.lost_lock_is_not_noticed),
    (histories.stopped_holder_commits_late, mutants.locked_commit_merges),
    (histories.stopped_holder_moves_late, mutants.locked_move_is_not_guarded),
    (histories.decider_dies_with_the_lock, mutants.lock_is_taken_at_once),
]


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize("name", HISTORIES)
def test_known_failure_stays_away(name: str, nodes: int) -> None:
    """What broke a promise once, here or in a simpler protocol, breaks none, whichever writer's stamp wins."""
    for seed in range(1, 9):
        assert play(HISTORIES[name], nodes, seed) == []


@pytest.mark.parametrize(
    ("history", "mutant"), PROTECTIONS, ids=[f"{history.__name__}-{mutant.__name__}" for history, mutant in PROTECTIONS]
)
def test_protection_is_what_keeps_it_away(history: History, mutant: mutants.Mutant) -> None:
    """Without its protection the history breaks a promise: so the history does test it."""
    with mutant():
        assert play(history)
