"""A LoRA as a GGUF of its own, for llama.cpp beside a GGUF of its base: several adapters share one base so.

The base beside it is made of the weights as they were rounded while the adapter learned: beside the original ones the
answers are as far off as those of a merge into them.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..base_models.config import read_config
from ..base_models.loading import folder_of
from ..choices import setting
from ..errors import Problem, UserError
from ..methods.fitting import CONFIG, WEIGHTS
from ..runs import Run
from ..storage.files import replace_file
from ..storage.reading import read_json
from .gguf_exporter import GgufExporter, gguf_problem
from .gguf_families import ROWS, as_stored, layers
from .merging import unpacked_base
from .public_names import public_title

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MATRIX = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<which>[AB])\.weight")


class GgufLoraExporter(GgufExporter):
    """Two files: the base, and what was learned."""

    title: ClassVar[str] = "Adapter for llama.cpp (GGUF)"
    about: ClassVar[str] = (
        "The adapter as a small GGUF beside one of its base, so that several adapters share a base. llama.cpp opens "
        "both and is asked what the adapter was asked."
    )
    is_offered: ClassVar[bool] = False

    name: Literal["gguf-lora"] = setting(  # type: ignore[assignment]
        "gguf-lora", "Export", "What is made.", labels={"gguf-lora": "Adapter GGUF (llama.cpp --lora)"}
    )

    def problems(self, run: Run) -> dict[str, Problem]:
        problem = lora_problem(run) or gguf_problem(run)
        return {"name": problem} if problem else {}

    def network(self, run: Run, folder: Path) -> "PreTrainedModel":
        return unpacked_base(run, folder)

    def called(self) -> str:
        return f"gguf-lora-{self.dtype}"

    def called_file(self, run: Run) -> str:
        return f"{run.id}-base-{self.dtype}.gguf"

    def write_beside(self, run: Run, file: Path) -> Path:
        target = file.with_name(f"{run.id}-lora.gguf")
        config = read_config(folder_of(run.base_model()) / "config.json")
        write_lora(run.adapter, config, public_title(run), target)
        command = shlex.join(["llama-server", "--model", file.name, "--lora", target.name, "--jinja"])
        replace_file(file.with_name("commands.txt"), command + "\n")
        return target


def lora_problem(run: Run) -> Problem | None:
    """Why what was learned is more, or something else, than two matrices a layer; None where it is that."""
    saved, method = read_json(run.adapter / CONFIG) or {}, run.recipe().method
    what = ""
    if saved.get("peft_type") != "LORA" or method.quantizes_itself:
        what = method.title()
    elif saved.get("use_dora"):
        what = "DoRA"
    elif saved.get("modules_to_save"):
        what = ", ".join(map(str, saved["modules_to_save"]))
    if not what:
        return None
    return Problem(
        "export.gguf_lora",
        "llama.cpp takes adapters of two matrices a layer, and what was learned here is more than that: {what}. Export "
        "the merged GGUF.",
        what=what,
    )


def write_lora(adapter: Path, config: dict[str, Any], title: str, file: Path) -> None:
    """config: of the base. llama.cpp multiplies by alpha / rank, so whatever else PEFT does is in B: rsLoRA, and layers
    of their own rank or alpha. Raises UserError for a tensor that llama.cpp has no place for.
    """
    from gguf import GGUFType, GGUFWriter, Keys

    saved = read_json(adapter / CONFIG) or {}
    alpha = float(saved["lora_alpha"])
    writer = GGUFWriter(str(file), ROWS[config["model_type"]].arch)
    try:
        writer.add_type(GGUFType.ADAPTER)
        writer.add_name(title)
        writer.add_string(Keys.Adapter.TYPE, "lora")
        writer.add_float32(Keys.Adapter.LORA_ALPHA, alpha)
        for name, tensor in _matrices(adapter, config, saved, alpha):
            writer.add_tensor(name, tensor.float().contiguous().numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _matrices(
    adapter: Path, config: dict[str, Any], saved: dict[str, Any], alpha: float
) -> Iterator[tuple[str, "torch.Tensor"]]:
    """(llama.cpp's name, numbers) of each: A [rank, inputs], B [outputs, rank]."""
    from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, get_tensor_name_map
    from safetensors.torch import load_file

    archs: dict[str, Any] = {name: arch for arch, name in MODEL_ARCH_NAMES.items()}
    names = get_tensor_name_map(MODEL_ARCH(archs[ROWS[config["model_type"]].arch]), layers(config))
    for name, tensor in load_file(adapter / WEIGHTS).items():
        found = MATRIX.fullmatch(name)
        stored = names.get_name(found["layer"]) if found else None
        if found is None or stored is None:
            raise UserError(
                "export.gguf_layer",
                "llama.cpp's {family} has no place for {layer}. Export the merged model.",
                family=config["model_type"],
                layer=name,
            )
        if found["which"] == "A":
            yield f"{stored}.weight.lora_a", tensor
            continue
        rank = tensor.shape[1]
        factor = scaling_of(found["layer"], rank, saved) * rank / alpha
        yield f"{stored}.weight.lora_b", factor * as_stored(f"{found['layer']}.weight", tensor, config)


def scaling_of(layer: str, rank: int, saved: dict[str, Any]) -> float:
    """What PEFT multiplies the product of a layer's matrices by. saved: its adapter_config.json."""
    from peft.utils.other import get_pattern_key

    own = saved.get("alpha_pattern") or {}
    alpha = float(own.get(get_pattern_key(list(own), layer), saved["lora_alpha"]))
    return alpha / (rank**0.5 if saved.get("use_rslora") else rank)
