"""Rotary positions that depend on the longest example of a batch: longrope (Phi-3 with 128k) and dynamic NTK.

transformers chooses their factors by the last position of what it reads at once. One long example would so change how
the shorter ones beside it are read, in training and in every measurement; read alone, each has the factors it has when
the model answers.
"""

from collections.abc import Iterable
from typing import Any

SWITCHING = ("longrope", "dynamic")  # by what the type of rotary positions is called in a config


def switches_at(config: Any) -> int | None:
    """Tokens from which on a model (its configuration) reads with other rotary
    factors; None for one that never does.
    """
    parameters = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    of_kinds = [one for one in parameters.values() if isinstance(one, dict)]  # some families have one a kind of layer
    usual = getattr(config, "original_max_position_embeddings", None)
    usual = usual or getattr(config, "max_position_embeddings", None)
    limits = []
    for one in (parameters, *of_kinds):
        kind = str(one.get("rope_type") or one.get("type") or "")
        limit = one.get("original_max_position_embeddings") or usual
        if kind.startswith(SWITCHING) and limit:
            limits.append(int(limit))
    return min(limits, default=None)


def reading_alone(config: Any, lengths: Iterable[int]) -> str:
    """Why examples of these lengths, in tokens, must be read one by one, as a sentence for the page.

    Empty if they need not be.
    """
    limit = switches_at(config)
    if limit is None:
        return ""
    every = list(lengths)
    long = sum(length > limit for length in every)
    if not 0 < long < len(every):
        return ""
    return (
        f"{long:,} of {len(every):,} examples are longer than {limit:,} tokens, from where on this model reads with "
        f"other rotary factors. "
        "Examples are worked off one by one, so that a long one does not change how a short one is read; that takes "
        "longer. Set "
        f'"Longest example" to {limit:,} or less to work them off together.'
    )
