"""Elo as in Dettmers et al. 2023 (QLoRA, arXiv 2305.14314, 6.2): all matches one after the other, the mean over many
random orders of them.
"""

import math

import numpy as np

from .games import Array, Games

START = 1000.0
SCALE = math.log(10) / 400  # a model 400 points above another is expected to win ten of eleven times
AT_ONCE = 1000  # orders: their ratings stay in the cache of a processor


def elo(games: Games, k: float = 32.0, orderings: int = 10_000, seed: int = 0) -> Array:
    """[m] ratings after all matches, as the mean over `orderings` orders drawn with `seed`. A tie is half a win.

    The orders are worked off side by side, so a step of Python moves a thousand ratings.
    """
    draw = np.random.default_rng(seed)
    total = np.zeros(len(games.models))
    for begin in range(0, orderings, AT_ONCE):
        count = min(AT_ONCE, orderings - begin)
        orders = np.stack([draw.permutation(len(games.score)) for _ in range(count)], axis=1)
        total += _play(games, orders, k).sum(axis=0)
    return total / max(1, orderings)


def _play(games: Games, orders: Array, k: float) -> Array:
    """[orders, m] ratings after all matches. orders: [n, orders] which match comes when."""
    count, m = orders.shape[1], len(games.models)
    ratings = np.full(count * m, START)
    row: Array = np.arange(count) * m
    for matches in orders:
        first, second = games.first[matches] + row, games.second[matches] + row
        expected = 1 / (1 + np.exp(SCALE * (ratings[second] - ratings[first])))
        change = k * (games.score[matches] - expected)
        ratings[first] += change
        ratings[second] -= change
    return ratings.reshape(count, m)
