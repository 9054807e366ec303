"""Where exports reach into what another library does not offer to Python."""

import ctypes
from typing import TYPE_CHECKING, Any

from ..errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGMLQuantizationType


def ggml_quantize(weight: "np.ndarray[Any, Any]", kind: "GGMLQuantizationType") -> "np.ndarray[Any, Any]":
    """A matrix in 32 bits, [rows, a multiple of 256], as llama.cpp's own K-quants, [rows, bytes].

    gguf 0.19 reads these but cannot make them. xllamacpp 2026.10 has no name for it in Python, but its library holds
    ggml's public function, which is what `llama-quantize` calls. Raises UserError where it does not.
    """
    import numpy as np
    import xllamacpp.xllamacpp
    from gguf import GGML_QUANT_SIZES

    try:
        quantize = ctypes.CDLL(xllamacpp.xllamacpp.__file__).ggml_quantize_chunk
    except (OSError, AttributeError):
        raise UserError(
            "export.no_k_quants",
            "The xllamacpp that is installed here cannot make {kind}. Export F16, and run `llama-quantize` of "
            "llama.cpp on the file.",
            kind=kind.name,
        ) from None
    quantize.restype = ctypes.c_size_t
    quantize.argtypes = [ctypes.c_int, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    block, size = GGML_QUANT_SIZES[kind]
    rows, columns = weight.shape
    source = np.ascontiguousarray(weight, np.float32)
    made: np.ndarray[Any, Any] = np.empty((rows, columns // block * size), np.uint8)
    written = quantize(int(kind), source.ctypes.data, made.ctypes.data, 0, rows, columns, None)
    if written != made.nbytes:
        raise RuntimeError(kind.name, written, made.nbytes)
    return made
