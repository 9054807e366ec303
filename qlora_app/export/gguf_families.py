"""The model families that are written as GGUF, one row each: what llama.cpp calls them, what its settings are, and in
which of its tensors the numbers stand otherwise than in transformers' files.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import Problem

if TYPE_CHECKING:
    import gguf
    import torch


@dataclass(frozen=True, kw_only=True)
class GgufFamily:
    """The defaults are LLaMA's, but for the rows of queries and keys."""

    arch: str  # llama.cpp's name
    swaps_halves: bool = False  # rows of q_proj and k_proj: the halves of a head side by side, for rotary positions
    adds_one: bool = False  # its norms multiply by 1 + weight
    has_rope: bool = True
    rms: bool = True  # norms of this kind, or LayerNorm with a bias


ROWS: dict[str, GgufFamily] = {  # by model_type
    "llama": GgufFamily(arch="llama", swaps_halves=True),
    "mistral": GgufFamily(arch="llama", swaps_halves=True),
    "qwen2": GgufFamily(arch="qwen2"),
    "qwen3": GgufFamily(arch="qwen3"),
    "phi3": GgufFamily(arch="phi3"),
    "gemma": GgufFamily(arch="gemma", adds_one=True),
    "gemma2": GgufFamily(arch="gemma2", adds_one=True),
    "gemma3_text": GgufFamily(arch="gemma3", adds_one=True),
    "gpt2": GgufFamily(arch="gpt2", has_rope=False, rms=False),
}
LARGEST = {"gemma2": 46, "gemma3_text": 62}  # blocks of the 27B models
ROPES = ("default", "linear", "llama3")  # kinds of rotary positions that are written


def family_problem(config: dict[str, Any]) -> Problem | None:
    """Why a model with this config.json cannot be written as GGUF; None where it can."""
    family = str(config.get("model_type"))
    if family not in ROWS:
        return Problem(
            "export.gguf_family",
            "Models of the family {family!r} are not written as GGUF here, only {known}. Export the merged model; "
            "llama.cpp's own converter may know it.",
            family=family,
            known=", ".join(ROWS),
        )
    kind = _rope(config).get("rope_type", "default")
    if kind not in ROPES:
        return Problem(
            "export.gguf_rope",
            "The rotary positions of this model are of the kind {kind!r}, which is not written as GGUF here. Export "
            "the merged model; llama.cpp's own converter may know it.",
            kind=kind,
        )
    if family in LARGEST and not _is_scaled_as_known(config):
        return Problem(
            "export.gguf_scale",
            "llama.cpp takes another scale of attention for {family} of these sizes. Export the merged model.",
            family=family,
        )
    if family == "qwen2" and config.get("use_sliding_window"):
        return Problem(
            "export.gguf_window",
            "This model looks at a sliding window of its text, which GGUF cannot say of its family. Export the merged "
            "model.",
        )
    return None


def _is_scaled_as_known(config: dict[str, Any]) -> bool:
    """llama.cpp tells the largest Gemma by its number of blocks, and scales its attention by the mean of the heads."""
    is_largest = layers(config) == LARGEST[config["model_type"]]
    known = _hidden(config) // _heads(config) if is_largest else head_size(config)
    return int(config.get("query_pre_attn_scalar") or known) == known


def head_size(config: dict[str, Any]) -> int:
    """Numbers of one head of attention."""
    return int(config.get("head_dim") or _hidden(config) // _heads(config))


def kv_heads(config: dict[str, Any]) -> int:
    return int(config.get("num_key_value_heads") or _heads(config))


def layers(config: dict[str, Any]) -> int:
    return int(config.get("num_hidden_layers") or config["n_layer"])


def context(config: dict[str, Any]) -> int:
    """Tokens it reads. Within a sliding window, and not beyond, llama.cpp's LLaMA is Mistral."""
    most = int(config.get("max_position_embeddings") or config["n_positions"])
    window = config.get("sliding_window")
    return min(most, int(window)) if window and config.get("model_type") == "mistral" else most


def _hidden(config: dict[str, Any]) -> int:
    return int(config.get("hidden_size") or config["n_embd"])


def _heads(config: dict[str, Any]) -> int:
    return int(config.get("num_attention_heads") or config["n_head"])


def _rope(config: dict[str, Any]) -> dict[str, Any]:
    """The rotary positions of full attention. transformers 5 has them in `rope_parameters`, for Gemma 3 by the kind of
    a layer.
    """
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    return found.get("full_attention", found)


def write_settings(writer: "gguf.GGUFWriter", config: dict[str, Any]) -> None:
    """What llama.cpp has to know of a model with this config.json. Names are those of gguf's writer."""
    family = ROWS[config["model_type"]]
    hidden, heads, size = _hidden(config), _heads(config), head_size(config)
    writer.add_context_length(context(config))
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers(config))
    writer.add_feed_forward_length(int(config.get("intermediate_size") or config.get("n_inner") or 4 * hidden))
    writer.add_head_count(heads)
    writer.add_vocab_size(int(config["vocab_size"]))
    if family.rms:
        writer.add_layer_norm_rms_eps(float(config["rms_norm_eps"]))
    else:
        writer.add_layer_norm_eps(float(config["layer_norm_epsilon"]))
    if not family.has_rope:
        return
    writer.add_head_count_kv(kv_heads(config))
    writer.add_key_length(size)
    writer.add_value_length(size)
    rope = _rope(config)
    partly = rope.get("partial_rotary_factor") or config.get("partial_rotary_factor") or 1.0
    writer.add_rope_dimension_count(int(size * partly))
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0))
    if rope.get("rope_type") == "linear":
        _write_linear(writer, rope)
    _write_windows(writer, config)


def _write_linear(writer: "gguf.GGUFWriter", rope: dict[str, Any]) -> None:
    from gguf import RopeScalingType

    writer.add_rope_scaling_type(RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(float(rope["factor"]))


def _write_windows(writer: "gguf.GGUFWriter", config: dict[str, Any]) -> None:
    """Sliding windows and soft caps, of the families that have them."""
    kind = config["model_type"]
    if kind in ("phi3", "gemma2", "gemma3_text"):
        writer.add_sliding_window(int(config.get("sliding_window") or 0))
    if kind == "gemma2":
        writer.add_attn_logit_softcapping(float(config["attn_logit_softcapping"]))
        writer.add_final_logit_softcapping(float(config["final_logit_softcapping"]))
    if kind == "gemma3_text":
        local = (config.get("rope_parameters") or {}).get("sliding_attention", {})
        writer.add_rope_freq_base_swa(float(local.get("rope_theta", 10_000.0)))


def more_tensors(config: dict[str, Any]) -> dict[str, "torch.Tensor"]:
    """What llama.cpp reads as a tensor though transformers computes it: LLaMA 3's longer rotary positions."""
    import torch

    rope = _rope(config)
    if rope.get("rope_type") != "llama3":
        return {}
    factor, old = float(rope["factor"]), float(rope["original_max_position_embeddings"])
    low, high = float(rope["low_freq_factor"]), float(rope["high_freq_factor"])
    size, base = head_size(config), float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0)
    factors = []
    for place in range(0, size, 2):
        turns = old * base ** (-place / size) / (2 * math.pi)  # of this frequency within the context it was trained on
        smooth = min(1.0, max(0.0, (turns - low) / (high - low)))
        factors.append(1.0 / ((1.0 - smooth) / factor + smooth))
    return {"rope_freqs.weight": torch.tensor(factors)}


def as_stored(name: str, weight: "torch.Tensor", config: dict[str, Any]) -> "torch.Tensor":
    """A tensor of transformers, or what belongs to its rows, as llama.cpp has it: rows in its order."""
    family = ROWS[config["model_type"]]
    layer = name.rpartition(".")[0].rpartition(".")[2]
    if family.swaps_halves and layer in ("q_proj", "k_proj"):
        heads = _heads(config) if layer == "q_proj" else kv_heads(config)
        rows = weight.shape[0]
        halves = weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:])
        return halves.transpose(1, 2).reshape(weight.shape)
    if family.adds_one and name.endswith("norm.weight"):
        return weight + 1
    return weight


def as_trained(name: str, matrix: "torch.Tensor", config: dict[str, Any]) -> "torch.Tensor":
    """The other way round: rows of a matrix of llama.cpp, as transformers has them. name: of the layer's weight."""
    import torch

    order = as_stored(name, torch.arange(matrix.shape[0])[:, None], config).view(-1)
    return matrix[order.argsort()]
