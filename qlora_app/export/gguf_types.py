"""Which type of number each tensor of a GGUF file has, and its bytes in it."""

from typing import TYPE_CHECKING, Any

from .patches import ggml_quantize

if TYPE_CHECKING:
    import numpy as np
    import torch
    from gguf import GGMLQuantizationType

BLOCK, K_BLOCK = 32, 256  # weights of a row that share their scales: of Q8_0 and its like, of K-quants
# What llama.cpp takes for rows that do not divide into blocks of 256.
SMALLER_BLOCKS = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
# What most tensors of a mixture have, and what queries, keys and values that are one tensor have.
MIXED = {"Q4_K_M": ("Q4_K", "Q5_K"), "Q5_K_M": ("Q5_K", "Q6_K")}


def type_of(
    name: str, shape: tuple[int, ...], dtype: str, layers: int, is_tied: bool = False
) -> "GGMLQuantizationType":
    """name: llama.cpp's. dtype: of the file. is_tied: its embeddings are its output too. Norms and biases stay whole,
    and in 16 bits what does not divide into blocks.
    """
    from gguf import GGMLQuantizationType

    if len(shape) == 1:
        return GGMLQuantizationType.F32
    kind = _wanted(name, dtype, layers, is_tied)
    if kind in SMALLER_BLOCKS and shape[-1] % K_BLOCK:
        kind = SMALLER_BLOCKS[kind]
    if kind.startswith("Q") and shape[-1] % BLOCK:
        kind = "F16"
    return GGMLQuantizationType[kind]


def _wanted(name: str, dtype: str, layers: int, is_tied: bool) -> str:
    """As `llama-quantize` chooses where no tensor is asked for by name: what is felt most has the most bits."""
    if not dtype.startswith("Q") or dtype == "Q8_0":
        return dtype
    if name == ("token_embd.weight" if is_tied else "output.weight"):
        return "Q6_K"
    if dtype not in MIXED:
        return dtype
    common, fused = MIXED[dtype]
    if name.endswith("attn_qkv.weight"):
        return fused
    if name.endswith(("attn_v.weight", "ffn_down.weight")) and _has_more_bits(int(name.split(".")[1]), layers):
        return "Q6_K"
    return common


def _has_more_bits(block: int, layers: int) -> bool:
    """The first and last eighth of the blocks, and every third between."""
    eighth = layers // 8
    return block < eighth or block >= 7 * layers // 8 or (block - eighth) % 3 == 2


def bytes_of(weight: "torch.Tensor", kind: "GGMLQuantizationType") -> "np.ndarray[Any, Any]":
    from gguf.quants import quantize

    numbers = weight.detach().float().cpu().contiguous().numpy()
    return ggml_quantize(numbers, kind) if kind.name in SMALLER_BLOCKS else quantize(numbers, kind)
