"""The cover of claims that every run of the tests tries holds every pair of all claims."""

import pytest

from qlora_app.methods.claims import claims as claims_of_methods
from qlora_app.tasks.claims import claims as claims_of_tasks
from tests.pairwise import pairs_of, pairwise

CLAIMS = {
    "methods": [(method.model_fields["name"].default, *rest) for method, *rest in claims_of_methods()],
    "tasks": claims_of_tasks(),
    "a full square": [(a, b, c) for a in "xy" for b in "xy" for c in "xy"],
}


def covered(rows):
    return set().union(*map(pairs_of, rows))


@pytest.mark.parametrize("name", CLAIMS)
def test_every_pair_is_covered_by_few_rows_that_are_claims(name):
    rows = CLAIMS[name]
    chosen = pairwise(rows)
    assert covered(chosen) == covered(rows)
    assert set(chosen) <= set(rows) and len(set(chosen)) == len(chosen) <= len(rows)


def test_the_cover_is_much_smaller_than_all_and_misses_no_value():
    for name in ("methods", "tasks"):
        rows, chosen = CLAIMS[name], pairwise(CLAIMS[name])
        assert len(chosen) < 0.6 * len(rows), name
        for column in zip(*rows, strict=True):
            assert {value for row in chosen for value in row} >= set(column)
    assert len(pairwise(CLAIMS["a full square"])) == 4


def test_a_row_less_is_no_cover():
    chosen = pairwise(CLAIMS["methods"])
    assert all(covered([row for row in chosen if row != left]) < covered(chosen) for left in chosen[:5])
