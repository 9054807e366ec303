"""What PEFT's files say of an adapter: its method, its task, and the base it is for, before anything is loaded."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..base_models import ModelChoice, folder_of, kept_models, local_models
from ..base_models.headers import tensor_shapes
from ..base_models.hub import kept_folder
from ..base_models.recognition import weight_files
from ..errors import Problem, UserError
from ..hardware import here
from ..methods import LoraMethod, MethodChoices
from ..methods.fitting import CONFIG, WEIGHTS, check_saved, compare
from ..storage.files import write_json
from ..storage.outside import lies_in_own
from ..storage.reading import read_json
from ..tasks import TaskChoice

if TYPE_CHECKING:
    import torch

PREFIX = "base_model.model."
_MATRIX = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<which>[AB])(?:\.weight)?")
_EMBEDDING = re.compile(r"(?:.+\.)?(?P<name>embed_tokens|lm_head|wte|wpe)(?P<own>\.base_layer)?\.weight")
_TIED = ("embed_tokens", "wte", "shared")  # whose weight a head has that has none of its own
TASKS = {"CAUSAL_LM": "chat", "SEQ_2_SEQ_LM": "text_to_text"}
# Beginnings that take something away from the base, and are of no use where only what was learned is saved.
_CHANGES_BASE = ("pissa", "olora", "loftq", "corda")
_OTHER_FUNCTION = ("layer_replication", "alora_invocation_tokens", "megatron_config", "arrow_config", "use_qalora")
# A repository that holds another one's weights, rounded: what it is trained on is that, and it cannot be opened here.
_ROUNDED = re.compile(r"^(mlx-community/|.*(-bnb-4bit|-4bit|-8bit|-GPTQ|-AWQ|-GGUF)$)", re.IGNORECASE)


@dataclass(frozen=True)
class Described:
    """What a run of it would have been made with."""

    base: ModelChoice
    method: MethodChoices
    task: TaskChoice


def describe(folder: Path, base: ModelChoice, precision: str) -> Described:
    """What an adapter in PEFT's form is, with its base, which is on this machine. precision: of the base; "" for
    unquantized. Raises UserError where it is something else, or its base has other shapes.
    """
    shapes, config = check_saved(folder), read_json(folder / CONFIG) or {}
    method = method_of(config, shapes)
    task = TASKS.get(str(config.get("task_type") or "CAUSAL_LM"))
    if task is None:
        raise UserError(
            "import.task",
            "It was trained for {task}; here only chats and text to text can be imported.",
            task=str(config.get("task_type"))[:40],
        )
    base = base.model_copy(update={"precision": precision or ("bf16" if here().kind == "cuda" else "fp32")})
    check_shapes(shapes, base)
    _keep_embeddings(folder, config, shapes, base)
    return Described(base, method, TaskChoice(name=task))


def method_of(config: dict[str, Any], shapes: Mapping[str, Any]) -> LoraMethod:
    """Raises UserError for what is no LoRA, or one that would answer otherwise here without a word."""
    from peft import LoraConfig

    kind = str(config.get("peft_type") or "").upper()
    if kind != "LORA":
        raise UserError(
            "import.lora_only",
            "It is an adapter of the method {kind}; only those of LoRA can be imported.",
            kind=kind or "?",
        )
    known = {one.name for one in fields(LoraConfig)}
    unknown = [name for name, value in config.items() if name not in known and value not in (None, False, [], {}, "")]
    begun = str(config.get("init_lora_weights", "")).lower()
    wrong = [name for name in (*unknown, *_OTHER_FUNCTION) if config.get(name)]
    if begun.startswith(_CHANGES_BASE):
        wrong.append(f"init_lora_weights: {begun}")
    if wrong:
        raise UserError(
            "import.other_function",
            "Its adapter_config.json asks for {what}, which would be passed over here: it would answer otherwise than "
            "where it was made.",
            what=", ".join(wrong)[:200],
        )
    rank, alpha = _number(config.get("r", 8)), _number(config.get("lora_alpha", 8))
    names = sorted({found["module"].rpartition(".")[2] for name in shapes if (found := _MATRIX.fullmatch(name))})
    return LoraMethod(
        rank=max(1, min(512, rank)),
        alpha=max(1, min(1024, alpha)),
        dropout=0.0,
        layers="named",
        layer_names=names,
        rank_stabilized=bool(config.get("use_rslora")),
        weight_decomposed=bool(config.get("use_dora")),
        train_embeddings=bool(config.get("modules_to_save")),
    )


def _number(value: Any) -> int:
    return round(value) if isinstance(value, int | float) else 1


# ---- its base


def base_named(words: str) -> ModelChoice | None:
    """The base somebody names: `starter`, a folder, or owner/name on the Hub, which may not be on this machine; None
    for no words. Raises UserError where it is none of them.
    """
    text = words.strip()
    if not text:
        return None
    if text == "starter":
        return ModelChoice()
    if (folder := Path(text).expanduser()).is_dir():
        choice = ModelChoice(source="folder", id=str(folder.resolve()))
    else:
        choice = ModelChoice(source="hub", id=text)
    if problems := choice.problems():
        raise UserError.of(next(iter(problems.values())))
    return choice


def is_here(base: ModelChoice) -> bool:
    """Is it on this machine?"""
    return base.source != "hub" or kept_folder(base) is not None


def base_of(folder: Path, models: Path) -> ModelChoice:
    """The base that an adapter's files name; one of the Hub may not be on this machine. `models`: where bases of one's
    own lie. Raises UserError where they name none that can be had.
    """
    return _base_called(str((read_json(folder / CONFIG) or {}).get("base_model_name_or_path") or ""), models)


def _base_called(named: str, models: Path) -> ModelChoice:
    folder = Path(named).expanduser()
    if named.endswith("qlora_app/starter/base"):  # one of ours, if on another machine
        return ModelChoice()
    if named and folder.is_absolute() and lies_in_own(folder) and (folder / "config.json").is_file():
        return ModelChoice(source="folder", id=str(folder))
    kept = {choice.id.lower(): choice for choice in kept_models()}
    if named.lower() in kept:
        return kept[named.lower()]
    for own in local_models(models):
        if own.name.lower() == folder.name.lower():
            return ModelChoice(source="folder", id=str(own))
    on_hub = ModelChoice(source="hub", id=named)
    if on_hub.problems() or _ROUNDED.match(named):
        raise UserError.of(base_missing(named))
    return on_hub


def base_missing(named: str, to_download: str = "") -> Problem:
    """Why there is no base. to_download: how much it is, where that is known."""
    if not named:
        return Problem("import.no_base", "It does not say which base model it is for. Say so, then import it again.")
    if _ROUNDED.match(named):
        return Problem(
            "import.rounded_base",
            "It is for {base}, which holds the weights of another model, rounded. Name the model that was rounded as "
            "its base, and import it again.",
            base=named[:100],
        )
    if to_download:
        return Problem(
            "import.base_to_download",
            "It is for {base}, which is not on this machine: {size} to download. Import it again with the download of "
            "its base, or name the folder it lies in.",
            base=named[:100],
            size=to_download,
        )
    return Problem(
        "import.base_missing",
        "It is for {base}, which is not on this machine. Choose that model in Train and press Download, or name the "
        "folder it lies in as its base; then import it again.",
        base=named[:100],
    )


def check_shapes(saved: Mapping[str, tuple[int, ...]], base: ModelChoice) -> None:
    """Before the base is loaded: do its layers have the inputs and outputs that the matrices want? Raises UserError.

    Of layers that its files call otherwise than the model does nothing is said here; loading looks at all.
    """
    weights = _weights(base)
    wanted: dict[str, tuple[int, ...]] = {}
    given: dict[str, tuple[int, ...]] = {}
    for name, shape in saved.items():
        found = _MATRIX.fullmatch(name.removeprefix(PREFIX))
        layer = weights.get(f"{found['module']}.weight") if found else None
        if found is None or layer is None or len(layer) != 2 or len(shape) != 2:
            continue
        is_inside = found["which"] == "A"
        place = 1 if is_inside else 0  # where a matrix has the size of the layer, and not the rank
        right = layer[1] if is_inside != bool(found["embedding"]) else layer[0]
        if shape[place] in layer:  # GPT-2 keeps its weights turned round: loading tells which it is
            right = shape[place]
        given[name] = tuple(shape)
        wanted[name] = (shape[0], right) if is_inside else (right, shape[1])
    compare(wanted, given)


def _keep_embeddings(folder: Path, config: dict[str, Any], shapes: Mapping[str, Any], base: ModelChoice) -> None:
    """PEFT saves the embeddings beside an adapter that it thinks has changed them, and its config need not name them:
    named there, they are read back. Raises UserError where the adapter has other tokens than its base.
    """
    found = {name: match for name in shapes if (match := _EMBEDDING.fullmatch(name.removeprefix(PREFIX)))}
    if not found:
        return
    weights = _weights(base)
    for name, match in found.items():
        rows = next((shape[0] for one, shape in weights.items() if one.endswith(f"{match['name']}.weight")), None)
        if rows is not None and rows != shapes[name][0]:
            raise UserError(
                "import.other_tokens",
                "It has {count:,} tokens, and its base {rows:,}: tokens were added when it was trained, which is not "
                "done here.",
                count=shapes[name][0],
                rows=rows,
            )
    if own := {name: match["name"] for name, match in found.items() if match["own"]}:
        _leave_out(folder, own, base)
    learned = {match["name"] for match in found.values() if not match["own"]}
    kept = {name for name in config.get("modules_to_save") or [] if isinstance(name, str)}
    if learned - kept:
        write_json(folder / CONFIG, config | {"modules_to_save": sorted(kept | learned)})


def _leave_out(folder: Path, own: Mapping[str, str], base: ModelChoice) -> None:
    """Beside LoRA on embeddings or head PEFT saves the base's own weight of them, {tensor: last name of its module},
    and opening the adapter puts it into the base, on which others stand too. It is left out: the base has it. Raises
    UserError where the base has another.
    """
    from safetensors.torch import load_file, save_file

    tensors = load_file(str(folder / WEIGHTS))
    other = [name for name, last in own.items() if not _is_in(tensors[name], last, base)]
    if other:
        raise UserError(
            "import.other_base",
            "Beside what LoRA has learned it holds {name}, in which its base has other numbers: it was made for "
            "another base, or has changed this one. Name the base it was made for, or merge it there and bring the "
            "whole model.",
            name=other[0].removeprefix(PREFIX)[:100],
        )
    beside = folder / f"{WEIGHTS}.part"  # the file itself is still being read from
    save_file({name: one for name, one in tensors.items() if name not in own}, str(beside), {"format": "pt"})
    beside.replace(folder / WEIGHTS)


def _is_in(tensor: "torch.Tensor", last: str, base: ModelChoice) -> bool:
    """Has the base these numbers in the module of this last name, but for what the coarser of both types rounds?"""
    from safetensors import safe_open

    files = weight_files(folder_of(base))
    where = {name: file for file in files for name in tensor_shapes(file)}
    wanted = [name for one in (last, *_TIED) for name in where if f".{name}".endswith(f".{one}.weight")]
    if not wanted:
        return False
    with safe_open(str(where[wanted[0]]), "pt") as opened:
        own = opened.get_tensor(wanted[0])
    return own.shape == tensor.shape and (
        bool((own.to(tensor.dtype) == tensor).all()) or bool((tensor.to(own.dtype) == own).all())
    )


def _weights(base: ModelChoice) -> dict[str, tuple[int, ...]]:
    """{tensor: shape} of its files."""
    return {name: shape for file in weight_files(folder_of(base)) for name, (_, shape) in tensor_shapes(file).items()}
