"""Differences that are more than chance: the tests against their definitions and the published examples."""

import itertools
import math

import pytest

from qlora_app.chance import Pairs, Share, holm


@pytest.mark.parametrize("right", range(0, 21, 4))
def test_an_interval_holds_its_share_and_is_narrower_the_more_is_asked(right):
    few, many = Share(right, 20), Share(50 * right, 1000)
    for share in (few, many):
        low, high = share.interval
        assert 0 <= low <= share.value <= high <= 1
    assert many.interval[1] - many.interval[0] < few.interval[1] - few.interval[0]
    assert Share(0, 0).interval == (0.0, 1.0)


def by_counting(first, second):
    """As many or more of the differing questions on one side, among all ways that a coin may fall."""
    differing, largest = first + second, max(first, second)
    falls = list(itertools.product((0, 1), repeat=differing))
    return sum(max(sum(fall), differing - sum(fall)) >= largest for fall in falls) / len(falls)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 3), (0, 5), (0, 6), (2, 9), (4, 7)])
def test_the_exact_test_of_pairs_counts_how_coins_may_fall(first, second):
    pairs = Pairs(50, first, second)
    assert math.isclose(pairs.p, by_counting(first, second))
    assert pairs.p == Pairs(50, second, first).p == Pairs(9000, first, second).p


def test_only_questions_that_differ_count():
    assert Pairs.of([True, True, False, False], [True, False, True, False]) == Pairs(4, 1, 1)
    with pytest.raises(ValueError, match="zip"):
        Pairs.of([True], [])


def test_several_comparisons_hold_together():
    """The example of Holm's procedure: the smallest is taken three times, no later one is below an earlier one."""
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]
