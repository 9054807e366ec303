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
MIXED = {"Q4_K_M": "Q4_K", "Q5_K_M": "Q5_K"}  # most tensors; those that are felt most have Q6_K


def type_of(name: str, shape: tuple[int, ...], dtype: str, layers: int) -> "GGMLQuantizationType":
    """name: llama.cpp's. dtype: of the file. Norms and biases stay whole, and in 16 bits what does not divide into
    blocks.
    """
    from gguf import GGMLQuantizationType

    if len(shape) == 1:
        return GGMLQuantizationType.F32
    kind = dtype
    if dtype in MIXED:
        kind = "Q6_K" if _is_felt(name, layers) else MIXED[dtype]
    if kind in SMALLER_BLOCKS and shape[-1] % K_BLOCK:
        kind = SMALLER_BLOCKS[kind]
    if kind.startswith("Q") and shape[-1] % BLOCK:
        kind = "F16"
    return GGMLQuantizationType[kind]


def _is_felt(name: str, layers: int) -> bool:
    """Has it more bits in llama.cpp's mixtures? The output, and in half of the blocks what attention and the network
    add: the first and last eighth of them, and every third between.
    """
    if name == "output.weight":
        return True
    if not name.endswith(("attn_v.weight", "ffn_down.weight")):
        return False
    block, eighth = int(name.split(".")[1]), layers // 8
    return block < eighth or block >= 7 * layers // 8 or (block - eighth) % 3 == 2


def bytes_of(weight: "torch.Tensor", kind: "GGMLQuantizationType") -> "np.ndarray[Any, Any]":
    from gguf.quants import quantize

    numbers = weight.detach().float().cpu().contiguous().numpy()
    return ggml_quantize(numbers, kind) if kind.name in SMALLER_BLOCKS else quantize(numbers, kind)
