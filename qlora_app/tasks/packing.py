"""Several examples in one row, each by itself, and of each only what is learned: nothing is computed that carries no loss.

Padding makes every example as long as the longest beside it. Here they stand one after another in a row [1, tokens], positions
begin again at 0, attention works on each example alone, and the head of the model, with its large vocabulary, only on the places
whose next token is learned. The loss and its gradients are those of the examples one by one.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IGNORED = -100  # label of a token without loss
ATTENTION = "example_by_example"  # the name under which transformers knows our attention
KNOWN = {"llama", "mistral", "qwen2", "qwen3", "gemma3_text", "phi3"}  # all others are measured before the first step
SIMILAR = 0.5  # examples at least half as long as the longest beside them are attended to together


def collator(tokenizer: "PreTrainedTokenizerBase", packing: bool) -> Callable[[list[dict[str, list[int]]]], dict[str, Any]]:
    """Examples -> a batch of tensors.

    Padded: [examples, longest] with an attention mask. Packed: one row [1, tokens] for a model that `pack` was asked about.
    """
    from transformers import DataCollatorForSeq2Seq

    return packed if packing else DataCollatorForSeq2Seq(tokenizer, label_pad_token_id=IGNORED)


def packed(examples: Sequence[dict[str, list[int]]]) -> dict[str, Any]:
    """One row of examples: the arguments of a model that `pack` has prepared. Raises nothing."""
    import torch
    from transformers import DataCollatorWithFlattening

    batch = DataCollatorWithFlattening(return_position_ids=True, return_tensors="pt")(list(examples))
    following = torch.nn.functional.pad(batch["labels"][:, 1:], (0, 1), value=IGNORED)
    learned = following != IGNORED
    groups, back = places([len(example["input_ids"]) for example in examples])
    # A mask of four dimensions is taken for finished: transformers then makes none of tokens x tokens, which nobody would look at.
    return batch | {"attention_mask": torch.zeros(1, 1, 1, 1), "logits_to_keep": learned, "shift_labels": following[learned],
                    "example_groups": groups, "back_in_row": back}


def places(lengths: list[int]) -> "tuple[list[tuple[torch.Tensor, torch.Tensor]], torch.Tensor]":
    """Where in the row the tokens of examples of similar length stand, and how to get back to the row.

    A group is ([examples, longest] places, the flat indices of those that are real); short ones repeat their last token, which
    no earlier one can see. Indexing all groups' real outputs, one after another, by the second value gives the row again.
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


def attention(module: "torch.nn.Module", query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor",
              attention_mask: "torch.Tensor | None", dropout: float = 0.0, scaling: float | None = None,
              example_groups: "list[tuple[torch.Tensor, torch.Tensor]] | None" = None, back_in_row: "torch.Tensor | None" = None,
              sliding_window: int | None = None, **others: Any) -> "tuple[torch.Tensor, None]":
    """transformers' attention interface: [1, heads, tokens, size] -> [1, tokens, heads, size], each example for itself.

    Without groups, as when the model answers, it is torch's attention as ever.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if example_groups is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling,
                                      sliding_window=sliding_window, **others)
    from .apart import PutTogether, TakenApart

    rows = [TakenApart.apply(part[0].transpose(0, 1), example_groups, back_in_row) for part in (query, key, value)]
    found = []
    for i, (place, _) in enumerate(example_groups):
        window = _window(place.shape[1], sliding_window, place.device)
        answer = torch.nn.functional.scaled_dot_product_attention(
            *(row[i].transpose(1, 2) for row in rows), attn_mask=window, is_causal=window is None, dropout_p=dropout, scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1])
        found.append(answer.transpose(1, 2))
    return PutTogether.apply(example_groups, back_in_row, *found)[None], None


def _window(longest: int, width: int | None, device: "torch.device") -> "torch.Tensor | None":
    """What each token may see, for a model that looks back over so many tokens only; None if no example is that long."""
    import torch

    if not width or longest <= width:
        return None
    return torch.ones(longest, longest, dtype=torch.bool, device=device).tril().triu(1 - width)


def pack(model: "PreTrainedModel") -> bool:
    """Prepare a model for packed batches. False, and nothing is changed, where it would not keep the examples apart.

    Measured on it, for a model that passes over what it is told would learn from its neighbours without any error.
    """
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    AttentionInterface.register(ATTENTION, attention)
    AttentionMaskInterface.register(ATTENTION, sdpa_mask)
    before = model.config._attn_implementation
    try:
        model.set_attn_implementation(ATTENTION)
        if model.config.model_type in KNOWN or keeps_apart(model):
            return True
    except (TypeError, ValueError):  # a model that takes no such arguments, or has only its own attention
        pass
    model.set_attn_implementation(before)
    return False


def keeps_apart(model: "PreTrainedModel") -> bool:
    """Are logits and loss of packed examples, to 1e-3 of their size, those of each alone?"""
    import torch

    rows = [list(range(5, 14)), list(range(20, 26))]
    ids = [{"input_ids": row, "labels": [IGNORED, IGNORED, *row[2:]]} for row in rows]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        together = model(**on_device(packed(ids), model.device), use_cache=False)
        alone = torch.cat([model(input_ids=torch.tensor([row], device=model.device), use_cache=False).logits[0, 1:-1] for row in rows])
    model.train(was_training)
    learned = torch.tensor([token for row in rows for token in row[2:]], device=model.device)
    loss = torch.nn.functional.cross_entropy(alone.float(), learned)
    found = together.logits.reshape(-1, together.logits.shape[-1])
    return found.shape == alone.shape and bool((found - alone).abs().max() <= 1e-3 * alone.abs().max()) \
        and bool((together.loss - loss).abs() <= 1e-3 * loss)


def on_device(batch: dict[str, Any], device: "torch.device") -> dict[str, Any]:
    from accelerate.utils import send_to_device

    return send_to_device(batch, device)
