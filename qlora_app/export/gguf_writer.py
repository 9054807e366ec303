"""A merged model and its tokenizer as one GGUF file, written tensor by tensor."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .gguf_families import ROWS, as_stored, layers, more_tensors, write_settings
from .gguf_types import BLOCK, bytes_of, type_of
from .gguf_vocabulary import Vocabulary

if TYPE_CHECKING:
    import numpy as np
    import torch
    from gguf import GGMLQuantizationType
    from transformers import PreTrainedModel

Progress = Callable[[int, int], None]
TAKEN_FOR_PHI = re.compile("phi-?3", re.IGNORECASE)  # llama.cpp cuts texts otherwise for a model that is called so


@dataclass(frozen=True)
class Stored:
    """A tensor of the file: llama.cpp's name, its sizes as weights, and how to make its bytes."""

    name: str
    shape: tuple[int, ...]
    kind: "GGMLQuantizationType"
    content: Callable[[], "np.ndarray[Any, Any]"]


def write_gguf(
    model: "PreTrainedModel", vocabulary: Vocabulary, title: str, dtype: str, file: Path, on_progress: Progress
) -> None:
    """dtype: as `GgufExporter` has it. Raises UserError where the model has a layer that llama.cpp's has not."""
    from gguf import GGUFWriter, LlamaFileType

    config = model.config.get_text_config(decoder=True).to_dict()
    config["tie_word_embeddings"] = bool(model.config.tie_word_embeddings)
    tensors = list(_tensors(model, config, dtype))
    writer = GGUFWriter(str(file), ROWS[config["model_type"]].arch)
    try:
        writer.add_name(TAKEN_FOR_PHI.sub("Phi 3", title))
        write_settings(writer, config)
        vocabulary.write(writer)
        name = {"F32": "ALL_F32"}.get(dtype, f"MOSTLY_{dtype}")
        writer.add_file_type(LlamaFileType[name])
        writer.add_quantization_version(2)
        for one in tensors:
            _announce(writer, one)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, one in enumerate(tensors, start=1):
            writer.write_tensor_data(one.content())
            on_progress(done, len(tensors))
    finally:
        writer.close()


def _announce(writer: Any, one: Stored) -> None:
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quant_shape_to_byte_shape

    block, size = GGML_QUANT_SIZES[one.kind]
    count = int(np.prod(one.shape)) // block * size
    plain = {GGMLQuantizationType.F32: np.float32, GGMLQuantizationType.F16: np.float16}
    if one.kind in plain:
        writer.add_tensor_info(one.name, one.shape, np.dtype(plain[one.kind]), count)
        return
    shape = quant_shape_to_byte_shape(one.shape, one.kind)
    writer.add_tensor_info(one.name, shape, np.dtype(np.uint8), count, raw_dtype=one.kind)


def _tensors(model: "PreTrainedModel", config: dict[str, Any], dtype: str) -> Iterator[Stored]:
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGMLQuantizationType, get_tensor_name_map

    archs: dict[str, Any] = {name: arch for arch, name in MODEL_ARCH_NAMES.items()}
    names = get_tensor_name_map(MODEL_ARCH(archs[ROWS[config["model_type"]].arch]), layers(config))
    head = model.get_output_embeddings()
    has_codes = any(getattr(layer, "grouped", None) is not None for layer in model.modules())
    for name, weight in model.named_parameters():
        layer = model.get_submodule(name.rpartition(".")[0])
        if config["tie_word_embeddings"] and layer is head:
            continue
        stored = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if stored is None:
            raise UserError(
                "export.gguf_layer",
                "llama.cpp's {family} has no place for {layer}. Export the merged model.",
                family=config["model_type"],
                layer=name,
            )
        if dtype == "Q4_1" and has_codes and weight.ndim > 1:  # nothing is rounded: what has none stays in 16 bits
            yield _coded(stored, name, weight, layer, config)
        else:
            yield _stored(stored, name, weight, layer, config, dtype)
    for name, tensor in more_tensors(config).items():
        yield Stored(name, tuple(tensor.shape), GGMLQuantizationType.F32, tensor.float().numpy)


def _stored(stored: str, name: str, weight: "torch.Tensor", layer: Any, config: dict[str, Any], dtype: str) -> Stored:
    from transformers.pytorch_utils import Conv1D

    is_turned = isinstance(layer, Conv1D) and weight.ndim > 1
    shape = tuple(weight.shape[::-1] if is_turned else weight.shape)
    kind = type_of(stored, shape, dtype, layers(config), config["tie_word_embeddings"])

    def content() -> "np.ndarray[Any, Any]":
        return bytes_of(as_stored(name, weight.T if is_turned else weight, config), kind)

    return Stored(stored, shape, kind, content)


def _coded(stored: str, name: str, weight: "torch.Tensor", layer: Any, config: dict[str, Any]) -> Stored:
    from gguf import GGMLQuantizationType

    grouped = getattr(layer, "grouped", None)
    if grouped is None:
        return _stored(stored, name, weight, layer, config, "F16")
    codes = [as_stored(name, part, config) for part in grouped]
    shape = tuple(codes[0].shape)
    return Stored(stored, shape, GGMLQuantizationType.Q4_1, lambda: _codes(*codes))


def _codes(codes: "torch.Tensor", scales: "torch.Tensor", zeros: "torch.Tensor") -> "np.ndarray[Any, Any]":
    """Q4_1 of whole numbers from 0 to 15, bit by bit: scale * (code - zero) is d * code + m. A block is d and m in 16
    bits, then 16 bytes, each with a code of the first half in its low bits and one of the second in its high ones.

    codes: [outputs, inputs]; scales, zeros: [outputs, groups], a group being some whole blocks.
    """
    import numpy as np

    outputs, inputs = codes.shape
    repeat = inputs // scales.shape[1] // BLOCK
    d = scales.cpu().numpy().astype(np.float16)
    m = (-scales.float() * zeros.float()).cpu().numpy().astype(np.float16)
    d, m = np.repeat(d, repeat, axis=1), np.repeat(m, repeat, axis=1)
    blocks = codes.cpu().numpy().astype(np.uint8).reshape(outputs, inputs // BLOCK, BLOCK)
    low, high = blocks[..., : BLOCK // 2], blocks[..., BLOCK // 2 :]
    parts = [d[..., None].view(np.uint8), m[..., None].view(np.uint8), low | (high << 4)]
    return np.concatenate(parts, axis=-1).reshape(outputs, -1)
