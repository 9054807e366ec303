"""Several examples in one row, each by itself, and of each only what is learned:
nothing is computed that carries no loss.

Padding makes every example as long as the longest beside it. Here they stand one after another in a row [1, tokens],
positions begin again at 0, attention works on each example alone, and the head of the model, with its large vocabulary,
only on the places whose next token is learned. The loss and its gradients are those of the examples one by one.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..messages import IGNORED

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ATTENTION = "example_by_example"  # the name under which transformers knows our attention
NOT_OURS = ("softcap", "position_bias", "cache")  # what our attention cannot do: with any of them a model is padded
WINDOWS = ("sliding_window", "attention_chunk_size")  # how far a token looks back, as configs and layers call it
EXAMPLES = (range(5, 14), range(20, 26))  # two examples that tell whether a model keeps them apart
FIRST_LEARNED = 2  # place in each of them
SHORT_WINDOW = 4  # shorter than both
FINE, COARSE = 2e-5, 1e-2  # how far two results may be apart, as a share of their size
SIMILAR = 0.5  # examples at least half as long as the longest beside them are attended to together


def collator(
    tokenizer: "PreTrainedTokenizerBase", packing: bool
) -> Callable[[list[dict[str, list[int]]]], dict[str, Any]]:
    """Examples -> a batch of tensors.

    Padded: [examples, longest] with an attention mask, each example at the left whatever side its tokenizer pads on.
    Packed: one row [1, tokens] for a model that `pack` was asked about. Labels of both are what is predicted: nothing
    predicts the first token of an example, so it carries none, and a step that counts its labels counts the same.
    """
    if packing:
        return packed

    def padded(examples: list[dict[str, list[int]]]) -> dict[str, Any]:
        import torch

        every = {"input_ids": [example["input_ids"] for example in examples]}
        rows = tokenizer.pad(every, padding_side="right", return_tensors="pt")
        labels = torch.full_like(rows["input_ids"], IGNORED)
        for row, example in zip(labels, examples, strict=True):
            row[1 : len(example["labels"])] = torch.tensor(example["labels"][1:])
        return {**rows, "labels": labels}

    return padded


def packed(examples: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
    """One row of examples: the arguments of a model that `pack` has prepared. Raises nothing."""
    import torch
    from transformers import DataCollatorWithFlattening

    batch = DataCollatorWithFlattening(return_position_ids=True, return_tensors="pt")(list(examples))
    following = torch.nn.functional.pad(batch["labels"][:, 1:], (0, 1), value=IGNORED)
    learned = following != IGNORED
    groups, back = places([len(example["input_ids"]) for example in examples])
    # A mask of four dimensions is taken for finished: transformers then makes none of tokens x tokens, which nobody
    # would look at.
    return batch | {
        "attention_mask": torch.zeros(1, 1, 1, 1),
        "logits_to_keep": learned,
        "shift_labels": following[learned],
        "example_groups": groups,
        "back_in_row": back,
    }


def places(lengths: list[int]) -> "tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]":
    """Where in the row the tokens of examples of similar length stand, and how to get back to the row.

    A group is ([examples, longest] places, the flat indices of those that are real); short ones repeat their last
    token, which no earlier one can see. Indexing all groups' real outputs, one after another, by the second value gives
    the row again.
    """
    import torch

    starts = torch.tensor([0, *lengths]).cumsum(0)
    groups: list[list[int]] = []
    for example in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if groups and lengths[example] >= SIMILAR * lengths[groups[-1][0]]:
            groups[-1].append(example)
        else:
            groups.append([example])
    made = []
    for group in groups:
        size, within = torch.tensor([lengths[i] for i in group])[:, None], torch.arange(lengths[group[0]])
        made.append((starts[group][:, None] + within.minimum(size - 1), (within < size).flatten().nonzero()[:, 0]))
    return made, torch.cat([place.flatten()[real] for place, real in made]).argsort()


def attention(
    module: "torch.nn.Module",
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None",
    dropout: float = 0.0,
    scaling: float | None = None,
    example_groups: "list[tuple[torch.Tensor, torch.Tensor]] | None" = None,
    back_in_row: "torch.Tensor | None" = None,
    sliding_window: int | None = None,
    s_aux: "torch.Tensor | None" = None,
    **others: Any,
) -> "tuple[torch.Tensor, None]":
    """transformers' attention interface: [1, heads, tokens, size] -> [1, tokens, heads, size], each example for itself.

    Without groups, as when the model answers, it is torch's attention as ever. `s_aux` [heads]: learned sinks
    (gpt-oss).
    Raises ValueError for what it cannot do, which `pack` takes for a no.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if wanted := [name for name in NOT_OURS if others.get(name) is not None]:
        raise ValueError(wanted[0])
    if example_groups is None and s_aux is None:
        return sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            sliding_window=sliding_window,
            **others,
        )
    if example_groups is None:
        mask = attention_mask
        if mask is None:
            mask = _causal(query.shape[2], key.shape[2], query.device)
        return _attend(query, key, value, mask, dropout, scaling, s_aux).transpose(1, 2).contiguous(), None
    from .apart import PutTogether, TakenApart

    rows = [TakenApart.apply(part[0].transpose(0, 1), example_groups, back_in_row) for part in (query, key, value)]
    found = []
    for i, (place, _) in enumerate(example_groups):
        window = _window(place.shape[1], sliding_window, place.device)
        answer = _attend(*(row[i].transpose(1, 2) for row in rows), window, dropout, scaling, s_aux)
        found.append(answer.transpose(1, 2))
    return PutTogether.apply(example_groups, back_in_row, *found)[None], None


def _attend(
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    mask: "torch.Tensor | None",
    dropout: float,
    scaling: float | None,
    sinks: "torch.Tensor | None",
) -> "torch.Tensor":
    """torch's attention, [rows, heads, tokens, size]; causal without a mask. Heads of keys may be fewer.

    A sink is a place whose score is learned and whose value is nothing: one more key of zeros, its score in the mask.
    """
    import torch
    from torch.nn.functional import pad, scaled_dot_product_attention

    how = {"dropout_p": dropout, "scale": scaling, "enable_gqa": query.shape[1] != key.shape[1]}
    if sinks is None:
        return scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None, **how)
    scores = mask
    if scores is None:
        scores = _causal(query.shape[2], key.shape[2], query.device)
    if scores.dtype == torch.bool:
        scores = torch.zeros_like(scores, dtype=query.dtype).masked_fill(~scores, float("-inf"))
    scores = scores.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
    sink = sinks.to(query.dtype)[None, :, None, None].expand(*scores.shape[:3], 1)
    key, value = pad(key, (0, 0, 0, 1)), pad(value, (0, 0, 0, 1))
    return scaled_dot_product_attention(query, key, value, attn_mask=torch.cat([scores, sink], dim=-1), **how)


def _causal(queries: int, keys: int, device: "torch.device") -> "torch.Tensor":
    """What each of the last tokens may see: itself and everything before it."""
    import torch

    return torch.ones(queries, keys, dtype=torch.bool, device=device).tril(keys - queries)


def _window(longest: int, width: int | None, device: "torch.device") -> "torch.Tensor | None":
    """What each token may see, for a model that looks back over so many tokens only.

    None if no example is that long.
    """
    import torch

    if not width or longest <= width:
        return None
    return torch.ones(longest, longest, dtype=torch.bool, device=device).tril().triu(1 - width)


def pack(model: "PreTrainedModel") -> bool:
    """Prepare a model for packed batches.

    False, and nothing is changed, where examples would not come out of it, packed or alone, as each of them does alone
    with the attention the model was loaded with.

    Measured on it before the first step, whatever its family: a model that passes over what it is told would learn from
    its neighbours, and one whose attention is more than torch's would lose that, both without any error.
    """
    import torch
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    before, was_training = model.config._attn_implementation, model.training
    model.eval()
    try:
        with torch.no_grad(), _short_windows(model):
            if _stays_itself(model):
                return True
    except Exception as error:  # a model that takes no such arguments, or has only its own attention, fails as it likes
        print(f"pack({model.config.model_type}): {error!r}")
    finally:
        model.train(was_training)
    model.set_attn_implementation(before)
    return False


def _stays_itself(model: "PreTrainedModel") -> bool:
    """Does a model compute with our attention what it did with its own, up to what its arithmetic makes different?"""
    own, wanted = model.config._attn_implementation, _alone(model)
    model.set_attn_implementation(ATTENTION)
    found = [_together(model)]
    if own != "sdpa":  # to which ours leaves everything that is not packed
        found.append(_alone(model))
    apart = max(_apart(one, wanted) for one in found)
    if apart <= _exactness(model):
        return True
    model.set_attn_implementation(own)
    if apart > 3 * _apart(_padded(model), wanted):
        return False
    model.set_attn_implementation(ATTENTION)
    return True


def _alone(model: "PreTrainedModel") -> "Measured":
    """What comes out of each of the EXAMPLES by itself."""
    import torch

    made = [model(input_ids=torch.tensor([row], device=model.device), use_cache=False).logits[0] for row in EXAMPLES]
    return _measured([logits[FIRST_LEARNED - 1 : -1] for logits in made])


def _padded(model: "PreTrainedModel") -> "Measured":
    """Logits and loss of the EXAMPLES read in one batch of padded rows."""
    import torch

    longest = max(map(len, EXAMPLES))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in EXAMPLES], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in EXAMPLES], device=model.device)
    made = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    return _measured([logits[FIRST_LEARNED - 1 : len(row) - 1] for logits, row in zip(made, EXAMPLES, strict=True)])


def _together(model: "PreTrainedModel") -> "Measured":
    """Logits of the EXAMPLES packed into one row, and the loss that the model gives for it."""
    rows = [{"input_ids": row, "labels": [*[IGNORED] * FIRST_LEARNED, *row[FIRST_LEARNED:]]} for row in EXAMPLES]
    made = model(**on_device(packed(rows), model.device), use_cache=False)
    return Measured(made.logits.reshape(-1, made.logits.shape[-1]).float(), made.loss.float())


class Measured(NamedTuple):
    """What a model makes of the EXAMPLES."""

    logits: "torch.Tensor"  # [learned places, words]
    loss: "torch.Tensor"  # their mean, in nats


def _measured(logits: "list[torch.Tensor]") -> Measured:
    import torch

    every = torch.cat(logits).float()
    learned = torch.tensor([token for row in EXAMPLES for token in row[FIRST_LEARNED:]], device=every.device)
    return Measured(every, torch.nn.functional.cross_entropy(every, learned))


def _apart(found: Measured, wanted: Measured) -> float:
    """How far one is from the other, as a share of its size; of logits and loss the worse."""
    if found.logits.shape != wanted.logits.shape:
        return float("inf")
    return max(float((one - other).norm() / other.norm()) for one, other in zip(found, wanted, strict=True))


def _exactness(model: "PreTrainedModel") -> float:
    """What two ways to the same sum may differ by: in 16 bits, and with 8-bit rounding of rows, far more than in 32."""
    import torch

    is_coarse = model.dtype != torch.float32 or getattr(model, "is_loaded_in_8bit", False)
    if is_coarse:
        return COARSE
    return FINE


@contextlib.contextmanager
def _short_windows(model: "PreTrainedModel") -> Iterator[None]:
    """Meanwhile a model whose tokens look back over so many others only looks back over few: short examples
    then show whether attention is told of it.
    """
    configs = {id(part.config): part.config for part in model.modules() if hasattr(part, "config")}
    found: list[tuple[Any, str, int]] = []
    for part in (*model.modules(), *configs.values()):
        for name in WINDOWS:
            width = getattr(part, name, None)
            if isinstance(width, int):
                found.append((part, name, width))
    for part, name, width in found:
        setattr(part, name, min(width, SHORT_WINDOW))
    try:
        yield
    finally:
        for part, name, width in found:
            setattr(part, name, width)


def on_device(batch: dict[str, Any], device: "torch.device") -> dict[str, Any]:
    from accelerate.utils import send_to_device

    return send_to_device(batch, device)
