"""Small whole numbers, packed: of 1 to 4 bits, or 8."""

import torch


def pack(codes: torch.Tensor, bits: int) -> torch.Tensor:
    """Whole numbers below 2**bits, their count in the last dimension a multiple
    of 8 -> bytes [..., count * bits / 8].
    """
    size, codes_each, kind = _word(bits)
    words = codes.to(kind).unflatten(-1, (-1, codes_each)) << _shifts(bits, codes_each, codes.device, kind)
    words = words.sum(-1, dtype=torch.int32)
    return torch.stack([words >> 8 * k & 255 for k in range(size)], -1).flatten(-2).to(torch.uint8)


def unpack(packed: torch.Tensor, bits: int) -> torch.Tensor:
    """The numbers that `pack` was given (uint8, or int32 for 3 bits)."""
    size, codes_each, kind = _word(bits)
    if size > 1:
        parts = packed.to(kind).unflatten(-1, (-1, size))
        packed = sum(parts[..., k] << 8 * k for k in range(size))
    return (packed.unsqueeze(-1) >> _shifts(bits, codes_each, packed.device, kind) & 2**bits - 1).flatten(-2)


def _word(bits: int) -> tuple[int, int, torch.dtype]:
    """(bytes, numbers in them, type to shift them in): eight numbers of 3 bits
    share three bytes, all others fit into one.
    """
    if bits == 3:
        return (3, 8, torch.int32)
    return (1, 8 // bits, torch.uint8)


def _shifts(bits: int, count: int, device: torch.device, kind: torch.dtype) -> torch.Tensor:
    return torch.arange(0, count * bits, bits, device=device, dtype=kind)
