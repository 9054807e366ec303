"""What is remembered of texts: the longest common beginning, within a number of bytes."""

import random

import pytest
import torch

from qlora_app.inference.prefixes import LEAST, Prefixes, common


def layers(tokens):
    keys = torch.arange(tokens, dtype=torch.float32).reshape(1, 1, tokens, 1)
    return [(keys, keys + 100)]


@pytest.mark.parametrize("seed", range(5))
def test_the_common_beginning_is_that_of_comparing_token_by_token(seed):
    draw = random.Random(seed)
    for _ in range(100):
        one = tuple(draw.randrange(2) for _ in range(draw.randrange(12)))
        other = (*one[: draw.randrange(12)], *(draw.randrange(2) for _ in range(draw.randrange(6))))
        pairs = zip(one, other, strict=False)
        expected = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
        assert common(one, other) == expected


def test_the_longest_beginning_is_found_and_the_last_token_is_never_known():
    kept = Prefixes()
    kept.keep("a", range(20), layers(20))
    kept.keep("a", [*range(10), 77, 78], layers(12))
    known, found = kept.longest("a", [*range(15), 99])
    assert known == 15 and found[0][0].flatten().tolist() == list(range(15))
    assert kept.longest("a", range(20))[0] == 19
    assert kept.longest("b", range(20)) == (0, []) and kept.longest("a", [5, *range(20)]) == (0, [])


def test_a_longer_text_takes_the_place_of_its_beginning():
    kept = Prefixes()
    kept.keep("a", range(10), layers(10))
    kept.keep("a", range(30), layers(30))
    assert len(kept) == 1 and kept.bytes == 2 * 4 * 30


def test_what_was_not_used_for_longest_goes_first_and_no_more_is_kept_than_fits():
    kept = Prefixes(most_bytes=2 * 8 * 10)
    kept.keep("a", range(10), layers(10))
    kept.keep("a", range(100, 110), layers(10))
    assert kept.longest("a", range(10))[0] == 9  # used
    kept.keep("a", range(200, 210), layers(10))
    assert kept.bytes <= kept.most_bytes and kept.longest("a", range(10))[0] == 9
    assert kept.longest("a", range(100, 110))[0] == 0
    kept.keep("a", range(300, 340), layers(40))
    assert len(kept) == 2, "too long for all the room"
    kept.keep("a", range(LEAST - 1), layers(LEAST - 1))
    assert len(kept) == 2, "too short to be worth it"
    kept.forget("b")
    assert len(kept) == 2
    kept.forget()
    assert (len(kept), kept.bytes) == (0, 0)
