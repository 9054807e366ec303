"""Which form an adapter's files have, and PEFT's own form of them. Nothing is loaded, and no pickle is opened here."""

import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from ..base_models.headers import tensor_shapes
from ..errors import Problem, UserError
from ..methods.fitting import CONFIG, WEIGHTS
from ..storage.files import write_json
from ..storage.reading import is_regular, read_json

PICKLE, MLX = "adapter_model.bin", "adapters.safetensors"
GGUF = b"GGUF"
HIDDEN = (".", "__MACOSX")
DEEPEST, MOST_FOLDERS = 5, 1000  # levels that are looked through, and folders of each
TOKENIZER = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model"),
)
PICKLED_SECONDS = 300  # for turning a pickle into safetensors, in a process of its own
NONE_THERE = Problem(
    "import.no_adapter",
    "There is no adapter in it: neither adapter_config.json with adapter_model.safetensors, as PEFT writes them, nor "
    "adapters.safetensors, as mlx does.",
)


class Form(NamedTuple):
    """Where the adapter lies, and who wrote it so."""

    kind: Literal["peft", "pickle", "mlx", "gguf"]
    folder: Path


def form_in(place: Path) -> Form:
    """The one adapter in a folder or in the folders of it, of which those deeper down do not count. Raises UserError
    where there is none, or none that can be read.
    """
    level, found = [place], []
    for _ in range(DEEPEST):
        found = [form for form in map(_form, level) if form is not None]
        if found:
            break
        level = [inner for folder in level for inner in _folders_in(folder)][:MOST_FOLDERS]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            "import.several_adapters",
            "There are {count} adapters in it: {names}. Bring one of these folders.",
            count=len(found),
            names=", ".join(form.folder.name for form in found[:5]),
        )
    raise UserError.of(_why_none(place))


def _folders_in(folder: Path) -> list[Path]:
    """Without those that a Mac or a program hides in it."""
    return sorted(one for one in folder.iterdir() if one.is_dir() and not one.name.startswith(HIDDEN))


def _form(folder: Path) -> Form | None:
    if is_regular(folder / MLX):
        return Form("mlx", folder)
    if not is_regular(folder / CONFIG):
        return Form("gguf", folder) if _ggufs(folder) else None
    if is_regular(folder / WEIGHTS):
        return Form("peft", folder)
    return Form("pickle", folder) if is_regular(folder / PICKLE) else None


def gguf_in(folder: Path) -> Path:
    """The smallest GGUF file of a folder: an adapter lies beside its base, which is larger."""
    return min(_ggufs(folder), key=lambda file: file.stat().st_size)


def _ggufs(folder: Path) -> list[Path]:
    return [file for file in folder.iterdir() if is_regular(file) and is_gguf(file)]


def is_gguf(file: Path) -> bool:
    return _begins_with(file, GGUF)


def _why_none(place: Path) -> Problem:
    """What lies there instead."""
    files = [file for file in place.rglob("*") if is_regular(file)]
    names = {file.name for file in files}
    if "config.json" in names and any(name.endswith(".safetensors") for name in names):
        return Problem(
            "import.whole_model",
            "This is a whole model and no adapter. Put its folder into the models folder: then it is a base to choose.",
        )
    weights = any(name == WEIGHTS or ("lora" in name and name.endswith(".safetensors")) for name in names)
    if weights and CONFIG not in names:
        return Problem(
            "import.no_config",
            "There are weights, but no {file} that says what they belong to. Bring the whole folder.",
            file=CONFIG,
        )
    return NONE_THERE


def as_peft(form: Form, target: Path) -> None:
    """PEFT's files of it in a new folder, with its tokenizer where it brought one. Raises UserError.

    Of a GGUF there is nothing yet: its names are understood beside its base only.
    """
    target.mkdir(parents=True)
    if form.kind == "gguf":
        return
    if form.kind == "mlx":
        from_mlx(form.folder, target)
    else:
        shutil.copyfile(form.folder / CONFIG, target / CONFIG)
        if form.kind == "peft":
            shutil.copyfile(form.folder / WEIGHTS, target / WEIGHTS)
        else:
            _unpickled(form.folder / PICKLE, target / WEIGHTS)
    for name in TOKENIZER:
        if is_regular(form.folder / name):
            shutil.copyfile(form.folder / name, target / name)


def _unpickled(file: Path, target: Path) -> None:
    """A pickle is a program: it is opened by a process of its own, which takes tensors and nothing else."""
    command = [sys.executable, "-m", f"{__package__}.unpickle", str(file), str(target)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PICKLED_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode or not is_regular(target):
        said = (done.stderr.strip().splitlines() or [""])[-1] if done else f"{PICKLED_SECONDS} s"
        raise UserError(
            "import.pickle",
            "{file} is a pickle, of which only tensors are taken, and it could not be read so ({why}). Save the "
            "adapter anew with PEFT, as safetensors.",
            file=file.name,
            why=said[:200],
        )


def from_mlx(folder: Path, target: Path) -> None:
    """mlx keeps A as [inputs, rank] and B as [rank, outputs], and one scale for all layers. Raises UserError."""
    from safetensors.torch import load_file, save_file

    config = read_json(folder / CONFIG) or {}
    given = config.get("lora_parameters")
    how = given if isinstance(given, dict) else {}
    kind = str(config.get("fine_tune_type") or "lora")
    scale = how.get("scale", config.get("scale"))
    if kind != "lora" or not isinstance(scale, int | float):
        raise UserError(
            "import.mlx_kind",
            "mlx wrote this as {kind}, of which no LoRA of PEFT's can be made. Fuse it in mlx, and bring the whole "
            "model.",
            kind=kind if kind != "lora" else "lora, scale: none",
        )
    tensor_shapes(folder / MLX)  # looked at before it is opened
    tensors = load_file(str(folder / MLX))
    wrong = [name for name in tensors if not name.endswith((".lora_a", ".lora_b"))]
    if wrong:
        raise UserError(
            "import.mlx_tensors",
            "Beside the two matrices of LoRA it holds {name}, which PEFT has no place for.",
            name=wrong[0][:100],
        )
    ranks = {tensor.shape[-1] for name, tensor in tensors.items() if name.endswith(".lora_a")}
    if len(ranks) != 1:
        raise UserError("import.mlx_ranks", "Its layers have different ranks, or none at all.")
    rank = ranks.pop()
    named = {_peft_name(name): tensor.t().contiguous() for name, tensor in tensors.items()}
    save_file(named, str(target / WEIGHTS), {"format": "pt"})
    lora_config(target / CONFIG, named, rank, scale * rank, str(config.get("model") or ""))


def _peft_name(name: str) -> str:
    stem, _, part = name.rpartition(".")
    return f"base_model.model.{stem}.{ {'lora_a': 'lora_A', 'lora_b': 'lora_B'}[part] }.weight"


def lora_config(
    file: Path, tensors: Iterable[str], rank: int, alpha: float, base: str, ranks: Mapping[str, int] | None = None
) -> None:
    """adapter_config.json of tensors in PEFT's names. ranks: {name of an A: its rank}, where they differ."""
    own = {name.removeprefix("base_model.model.").rpartition(".lora_A")[0]: one for name, one in (ranks or {}).items()}
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({name.split(".")[-3] for name in tensors}),
        "rank_pattern": {name: one for name, one in own.items() if one != rank},
        "inference_mode": True,
    }
    write_json(file, config)


def _begins_with(file: Path, magic: bytes) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(len(magic)) == magic
    except OSError:
        return False
