"""What a model is, read from its own files: family, size, context, chat template. Nothing in them is run."""

import collections
import hashlib
import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import Problem, UserError
from ..formatting import millions, size
from ..storage.outside import check_own
from ..storage.reading import is_regular, open_regular
from .config import check_sense, program_in, read_config
from .families import BARE_MADE_FOR, MADE_FOR, family_of
from .headers import tensor_shapes

MADE_FOR_WORDS = {
    ("classification", "fill_mask"): "for classification or fill the blank",
    ("classification",): "for classification",
    ("text_to_text",): "for text to text",
}
OLD_FORMATS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "spm.model")
SHORT = {
    "BF16": "bf16",
    "F16": "fp16",
    "F32": "fp32",
    "F64": "fp64",
    "bfloat16": "bf16",
    "float16": "fp16",
    "float32": "fp32",
}
CONTEXT = ("max_position_embeddings", "n_positions", "seq_length")  # what configs call it
INDEX = "model.safetensors.index.json"
ENDS = 2**20  # bytes of each end of a file


@dataclass(frozen=True)
class Facts:
    """What is known of a model before any of its weights is loaded."""

    name: str
    config: dict[str, Any]  # its config.json
    parameters: int | None
    dtype: str  # of its weights, for example "bf16"; "" if unknown
    has_template: bool
    licence: str = ""
    is_gated: bool = False
    commit: str = ""  # of a Hub model
    missing: int = 0  # bytes of a Hub model that are not on this machine yet
    # Of its tokenizer, with their numbers: the model has no row for them.
    strange_tokens: dict[str, int] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """ "Llama", "Qwen3", "GPT2", "T5"."""
        endings = "|".join([*MADE_FOR, "ForConditionalGeneration", "WithLMHeadModel", "Model"])
        return re.sub(f"({endings})$", "", _architecture(self.config))

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it can learn, what it is mostly taken for first."""
        return tasks_of(self.config)

    @property
    def context(self) -> int | None:
        """Tokens it can read at once; None where nothing limits it, as in T5, whose positions are relative."""
        positions = family_of(self.config).positions
        if positions == "relative":
            return None
        if positions == "behind-padding":
            places = self.config.get("max_position_embeddings") or 514
            padding = self.config.get("pad_token_id")
            return places - (padding if isinstance(padding, int) and padding else 1) - 1
        named = (self.config.get(name) for name in CONTEXT)
        return next((count for count in named if isinstance(count, int) and count), None)

    def summary(self) -> str:
        """One line for people."""
        parts = [
            self.family,
            f"{millions(self.parameters)} parameters" if self.parameters else "",
            self.dtype,
            f"reads {self.context:,} tokens" if self.context else "",
            self._made_for(),
            f"licence {self.licence}" if self.licence else "",
            "gated" if self.is_gated else "",
            f"{size(self.missing)} to download" if self.missing else "",
        ]
        return " · ".join(part for part in parts if part)

    def _made_for(self) -> str:
        if "chat" in self.tasks:
            return "chat template of its own" if self.has_template else "no chat template, gets the Guanaco style"
        return MADE_FOR_WORDS.get(self.tasks, "")


def _architecture(config: dict[str, Any]) -> str:
    """ "LlamaForCausalLM"; made of the family's name where an encoder's config names none."""
    named = _architectures(config)
    if named:
        return named[0]
    family = str(config.get("model_type", "")).title().replace("-", "")
    return f"{family}Model"


def _architectures(config: dict[str, Any]) -> list[str]:
    return [name for name in config.get("architectures") or [] if isinstance(name, str)]


def tasks_of(config: dict[str, Any]) -> tuple[str, ...]:
    """What a model with this config can learn, what it is mostly taken for first; nothing if it is of no kind that is
    known here.
    """
    kind, name = family_of(config).kind, _architecture(config)
    if kind != "encoder-decoder":
        for ending, tasks in MADE_FOR.items():
            if name.endswith(ending):
                return tasks
    return BARE_MADE_FOR[kind]


def check_config(name: str, config: Any) -> dict[str, Any]:
    """The config of a model that can be trained here. Raises UserError with the reason if it cannot."""
    if not isinstance(config, dict):
        raise UserError(
            "model.no_config", "The config.json of {name} is not a model's config. Download the model again.", name=name
        )
    if programs := program_in(config):
        raise UserError(
            "model.wants_program",
            "{name} wants to run a program of its author (its config names {programs}). That is never done here; "
            "choose a model whose architecture is part of transformers.",
            name=name,
            programs=programs,
        )
    check_sense(name, config)
    if not tasks_of(config):
        named = ", ".join(_architectures(config)) or "no architecture at all"
        raise UserError(
            "model.no_trainable_kind",
            "{name} is of no kind that can be trained here (its config names {architectures}). Choose a model "
            "that writes text from left to right, for example LLaMA, Mistral, Qwen or GPT-2, a T5, or an encoder "
            "such as BERT, RoBERTa or DeBERTa.",
            name=name,
            architectures=named,
        )
    if quantized := config.get("quantization_config"):
        method = quantized.get("quant_method", "some method") if isinstance(quantized, dict) else "some method"
        raise UserError(
            "model.quantized_already",
            "The weights of {name} are already quantized ({method}). Choose the model it was made from: this app "
            "quantizes it itself while it loads.",
            name=name,
            method=method,
        )
    return config


def describe_folder(folder: Path) -> dict[str, Any]:
    """The config of a model folder, after every check that needs no weights. Raises UserError with the reason."""
    folder = folder.expanduser()
    if not os.path.lexists(folder / "config.json"):
        raise UserError(
            "model.no_folder_of_one",
            "{folder} holds no model: config.json is missing. Choose the folder that contains it.",
            folder=folder,
        )
    config = check_config(folder.name, read_config(folder / "config.json"))
    _check_weights(folder)
    if not any(is_regular(folder / name) for name in TOKENIZERS):
        raise UserError(
            "model.no_tokenizer",
            "{name} has no tokenizer (tokenizer.json). Copy it from where the model came from.",
            name=folder.name,
        )
    return config


def _check_weights(folder: Path) -> None:
    weights = list(folder.glob("*.safetensors"))
    if not weights:
        raise UserError.of(no_safetensors(folder.name, [p.name for p in folder.iterdir()]))
    odd = next((file for file in weights if not is_regular(file)), None)
    if odd:
        raise UserError(
            "model.no_file",
            "{file} of {name} is no file that can be read. Download the model again.",
            file=odd.name,
            name=folder.name,
        )
    if os.path.lexists(folder / INDEX):
        index = folder / INDEX
        names = listed_files(index)
        outside = [name for name in names if Path(name).name != name]
        if outside:
            raise UserError(
                "model.folder_index_outside",
                "{name} points outside its folder ({file}). Do not use this model.",
                name=index.name,
                file=outside[0],
            )
        missing = sorted(name for name in names if not is_regular(folder / name))
        if missing:
            raise UserError(
                "model.file_missing",
                "{name} is incomplete: {missing} is missing. Download it again.",
                name=folder.name,
                missing=missing[0],
            )


def listed_files(index: Path) -> set[str]:
    """The files that an index of weights names. Raises UserError for what is no index."""
    listed = read_config(index)
    weight_map = listed.get("weight_map") if isinstance(listed, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise UserError(
            "model.odd_index",
            "{name} does not say which file holds what. Download the model again.",
            name=index.name,
        )
    return {str(name) for name in weight_map.values()}


def no_safetensors(name: str, files: list[str]) -> Problem:
    """Why a model without .safetensors cannot be used, by what it holds instead."""
    old = next((file for file in files if file.endswith(OLD_FORMATS)), None)
    if old:
        return Problem(
            "model.old_format",
            "{name} holds only {file}, a pickle or an old format; a pickle can run any program when it is "
            "opened. This app opens .safetensors only: look for a copy of the model in that format.",
            name=name,
            file=old,
        )
    gguf = next((file for file in files if file.endswith(".gguf")), None)
    if gguf:
        return Problem(
            "model.gguf",
            "{name} holds only {file}, a format for answering, not for training. Choose the model it was made from.",
            name=name,
            file=gguf,
        )
    return Problem("model.no_weights", "{name} holds no weights. This app opens .safetensors only.", name=name)


def facts_of_folder(folder: Path) -> Facts:
    """What is known of a model folder; its parameters are counted in the headers of its files. Raises UserError."""
    folder = folder.expanduser()
    config = describe_folder(folder)
    counts: collections.Counter[str] = collections.Counter()
    for file in weight_files(folder):
        for dtype, shape in tensor_shapes(file).values():
            counts[dtype] += math.prod(shape)
    most = max(counts, key=counts.__getitem__, default="")
    return Facts(
        name=folder.name,
        config=config,
        parameters=sum(counts.values()),
        dtype=SHORT.get(most, ""),
        has_template=_has_template(folder),
    )


def weight_files(folder: Path) -> list[Path]:
    """The .safetensors transformers would open: those of the index, else model.safetensors, else all of them."""
    if (folder / INDEX).exists():
        return sorted(folder / name for name in listed_files(folder / INDEX))
    whole = folder / "model.safetensors"
    return [whole] if whole.exists() else sorted(folder.glob("*.safetensors"))


def fingerprint(folder: Path) -> str:
    """What tells these weights from others of the same model: SHA-256 of the names, sizes and both ends of the files.

    Hashing every byte of a large model would hold up each start by a minute; another training changes the ends too.
    """
    checksum = hashlib.sha256()
    for file in weight_files(folder):
        length = file.stat().st_size
        checksum.update(f"{file.name} {length}\n".encode())
        with open_regular(file) as content:
            checksum.update(content.read(ENDS))
            content.seek(max(0, length - ENDS))
            checksum.update(content.read(ENDS))
    return checksum.hexdigest()


def layer_names(folder: Path) -> set[str]:
    """Last names of the linear layers in a model's blocks ("q_proj"), as its files hold them. Raises UserError for
    damaged files.
    """
    names = set()
    for file in weight_files(folder):
        for tensor, (_, shape) in tensor_shapes(file).items():
            is_in_a_block = re.search(r"\.\d+\.", tensor) is not None
            if is_in_a_block and len(shape) == 2 and tensor.endswith(".weight"):
                names.add(tensor.split(".")[-2])
    return names


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").exists():
        return True
    settings = folder / "tokenizer_config.json"
    config = read_config(settings) if settings.exists() else {}
    return bool(isinstance(config, dict) and config.get("chat_template"))


def strange_tokens(folder: Path) -> dict[str, int]:
    """{token: its number} of a model folder's tokenizer.json for which its config.json promises no row of embeddings.

    Empty where the files do not tell; the worker looks again when the model is loaded.
    """
    try:
        rows = read_config(folder / "config.json").get("vocab_size")
        numbers = _token_numbers(read_config(folder / "tokenizer.json"))
    except (UserError, OSError, AttributeError, KeyError, TypeError, ValueError):  # of a kind that is not known here
        return {}
    if not isinstance(rows, int):
        return {}
    return {token: number for token, number in numbers.items() if isinstance(number, int) and number >= rows}


def _token_numbers(tokenizer: dict[str, Any]) -> dict[str, int]:
    """{token: number} of a tokenizer.json, whose vocabulary is a mapping, or a list of (token, score)."""
    listed = tokenizer["model"]["vocab"]
    if isinstance(listed, dict):
        numbers = dict(listed)
    else:
        numbers = {token: place for place, (token, _) in enumerate(listed)}
    for added in tokenizer.get("added_tokens") or []:
        numbers[added["content"]] = added["id"]
    return numbers


def rows_missing(strange: dict[str, int], rows: int) -> Problem:
    """The problem of tokens whose numbers lie beyond the `rows` of a model's embeddings."""
    first = min(strange, key=strange.__getitem__)
    return Problem(
        "model.strange_tokens",
        "The tokenizer of this model knows {count:,} tokens that the model does not: {first!r} has the number "
        "{number:,}, and the embeddings have {rows:,} rows. The tokenizer belongs to another model: bring the one "
        "that was published with these weights.",
        count=len(strange),
        first=first,
        number=strange[first],
        rows=rows,
    )


def local_models(folder: Path) -> list[Path]:
    """Every usable model folder directly below `folder`, sorted by name."""
    return [place for place, problem in models_below(folder) if problem is None]


def models_below(folder: Path) -> list[tuple[Path, Problem | None]]:
    """Every folder directly below `folder` that holds a model or the remains of one, with why it cannot be used."""
    found: list[tuple[Path, Problem | None]] = []
    try:
        inside = sorted(folder.iterdir())
    except OSError:  # there is none, or no folder
        return found
    for place in inside:
        if place.name.startswith(".") or not _has_a_model(place):
            continue
        try:
            describe_folder(check_own(place))
            found.append((place, None))
        except UserError as error:
            found.append((place, error.problem))
    return found


def _has_a_model(folder: Path) -> bool:
    """One whose name no page can show is none: it cannot be chosen."""
    try:
        str(folder).encode()
        return os.path.lexists(folder / "config.json") or any(folder.glob("*.safetensors"))
    except (OSError, UnicodeEncodeError):
        return False
