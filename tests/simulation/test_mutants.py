"""What the random histories would notice: each protection taken out is caught within a bounded number of them."""

from __future__ import annotations

import pytest

from . import mutants
from .history import History

#: Histories within which a mutant must be caught.
BOUND = 150

#: A mutant, and the theme and the faults under which it shows soonest.
CAUGHT: list[tuple[mutants.Mutant, str, list[str]]] = [
    (mutants.merge_keeps_one_side, "plain", []),
    (mutants.merge_drops_attributes, "plain", []),
    (mutants.merge_prefers_life, "log-out", []),
    (mutants.blind_set, "plain", []),
    (mutants.short_lived_tombstones, "log-out", ["hung"]),
    (mutants.function_runs_again, "transactions", []),
    (mutants.tokens_outlive_connections, "plain", ["killed"]),
    (mutants.older_record_with_fresh_token, "slow", []),
    (mutants.repaired_before_compared, "plain", []),
    (mutants.first_copy_is_enough, "plain", ["killed"]),
    (mutants.move_carries_nothing, "moves", []),
    (mutants.late_changes_do_not_follow, "moves", []),
    (mutants.returned_node_is_trusted, "plain", ["hung"]),
    (mutants.lost_lock_is_not_noticed, "lost locks", []),
    (mutants.locked_commit_merges, "lost locks", []),
    (mutants.lock_is_taken_at_once, "locks", []),
]


@pytest.mark.parametrize(("mutant", "theme", "faults"), CAUGHT, ids=[mutant.__name__ for mutant, _, _ in CAUGHT])
def test_mutant_is_caught(mutant: mutants.Mutant, theme: str, faults: list[str]) -> None:
    """Random histories find the protection that is missing."""
    with mutant():
        assert any(History(seed, theme, faults).run().violations for seed in range(BOUND))
