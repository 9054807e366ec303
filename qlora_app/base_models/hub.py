"""Base models on the Hugging Face Hub: what can be found there, and what is known of one before it is downloaded."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import Problem, UserError
from ..formatting import count_of, millions
from ..hub import (
    COMMIT,
    PATIENCE,
    HubUnavailable,
    RemoteFile,
    ask,
    explain,
    licence_of,
)
from ..hub.repository import check_access, files_of
from ..storage.outside import is_confined
from .choice import ModelChoice
from .config import read_config
from .families import tried_families
from .recognition import (
    MADE_FOR_WORDS,
    SHORT,
    Facts,
    check_config,
    describe_folder,
    facts_of_folder,
    no_safetensors,
    tasks_of,
)

INDEX = "model.safetensors.index.json"
SETTINGS_FILES = {
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "chat_template.jinja",
    "chat_template.json",
    INDEX,
}

# What the Hub is asked for, where it has a word for those that can learn a task. Any model of text can learn labels.
ASKED_FOR = {
    "chat": {"pipeline_tag": "text-generation"},
    "fill_mask": {"pipeline_tag": "fill-mask"},
    "text_to_text": {"filter": ["safetensors", tried_families("encoder-decoder")[0]]},
}
SEEN = 3  # times as many are looked at as are shown


@dataclass(frozen=True)
class Hit:
    """One model a search found."""

    id: str
    parameters: int | None
    licence: str
    is_gated: bool
    downloads: int  # in the last 30 days
    made_for: str = ""  # in words, where it is not for chat

    def summary(self) -> str:
        parts = [
            f"{millions(self.parameters)} parameters" if self.parameters else "size unknown",
            self.made_for,
            f"licence {self.licence}" if self.licence else "no licence named",
            "gated" if self.is_gated else "",
            count_of(self.downloads, "download"),
        ]
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True)
class Remote:
    """A model on the Hub at one commit: what is known of it, and the files that are needed to train it."""

    id: str
    facts: Facts
    files: tuple[RemoteFile, ...]


def search(words: str, token: str | None = None, task: str = "auto", limit: int = 20) -> list[Hit]:
    """Models that can learn the task, "auto" any, and come as safetensors, most downloaded first.

    The Hub tells what they are made for; what it does not tell of is not left out. Raises UserError where the Hub gives
    no answer.
    """
    from huggingface_hub import ModelInfo

    asked = {
        "search": words.strip(),
        "filter": "safetensors",
        "sort": "downloads",
        "limit": SEEN * limit,
        "expand": ["safetensors", "gated", "downloads", "tags", "config"],
        **ASKED_FOR.get(task, {}),
    }
    try:
        found = [ModelInfo(**one) for one in ask("models", token, **asked)]
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise explain(error, None) from error
    return [_hit(info) for info in found if _can_learn(task, info.config or {})][:limit]


def _can_learn(task: str, config: dict[str, Any]) -> bool:
    if not config:
        return True
    possible = tasks_of(config)
    if not possible or config.get("quantization_config"):
        return False
    return task in ("auto", *possible)


def _hit(info: Any) -> Hit:
    possible = tasks_of(info.config or {})
    return Hit(
        id=info.id,
        parameters=_parameters(info),
        licence=licence_of(info.tags),
        is_gated=bool(info.gated),
        downloads=info.downloads or 0,
        made_for=MADE_FOR_WORDS.get(possible, ""),
    )


def look_up(choice: ModelChoice, token: str | None = None) -> Facts:
    """What is known of a Hub model: asked of the Hub, or read from the copy on this machine where the Hub does not give
    it.

    Raises UserError if it cannot be had or cannot be trained. No weights are fetched.
    """
    if folder := unchanging(choice):
        return _facts_kept(choice, folder)
    try:
        return remote(choice, token).facts
    except HubUnavailable:
        if folder := kept_folder(choice):
            return _facts_kept(choice, folder)
        raise


def _facts_kept(choice: ModelChoice, folder: Path) -> Facts:
    return replace(facts_of_folder(folder), name=choice.id, commit=folder.name)


def remote(choice: ModelChoice, token: str | None = None) -> Remote:
    """A model as the Hub describes it now, with its config and the list of files to get. Raises UserError."""
    from huggingface_hub import HfApi

    try:
        info = HfApi(token=token or False).model_info(
            choice.id, revision=choice.revision or None, files_metadata=True, timeout=PATIENCE
        )
        files = files_of(info)
        has_weights = any(name.endswith(".safetensors") for name in files)
        if not has_weights or "config.json" not in files:
            raise UserError.of(no_safetensors(choice.id, list(files)))
        config = check_config(choice.id, read_config(_small_file(choice, "config.json", token)))
        if is_confined():
            check_access(choice.repository, info.sha or "", "config.json", token)
        if not (info.gated or info.private):
            choice.repository.note_open(info.sha or "")
        names = [*sorted(SETTINGS_FILES & set(files)), *_weights(choice, files, token)]
        wanted = tuple(files[name] for name in names)
        commit = info.sha or ""
        facts = Facts(
            name=choice.id,
            config=config,
            parameters=_parameters(info),
            dtype=_dtype(info),
            has_template=_has_template(info, files),
            licence=licence_of(info.tags),
            is_gated=bool(info.gated),
            commit=commit,
            missing=choice.repository.missing(commit, wanted),
        )
        return Remote(choice.id, facts, wanted)
    except UserError:
        raise
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise explain(error, choice.repository, bool(token)) from error


def _small_file(choice: ModelChoice, name: str, token: str | None) -> Path:
    """By the name of the branch, so that the cache knows which commit that was when the Hub is out of reach."""
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(
            choice.id, name, revision=choice.revision or "main", token=token or False, etag_timeout=PATIENCE
        )
    )


def _weights(choice: ModelChoice, files: dict[str, RemoteFile], token: str | None) -> list[str]:
    """The files transformers will open: those the index names, else the only one. Raises UserError."""
    names = ["model.safetensors"]
    if INDEX in files and "model.safetensors" not in files:
        listed = read_config(_small_file(choice, INDEX, token))
        weight_map = listed.get("weight_map", {}) if isinstance(listed, dict) else {}
        names = sorted({str(name) for name in weight_map.values()})
    outside = [name for name in names if "/" in name or "\\" in name]
    if outside:
        raise UserError(
            "model.index_outside",
            "The index of {id} points outside its folder ({file}). Do not use this model.",
            id=choice.id,
            file=outside[0],
        )
    missing = [name for name in names if name not in files]
    if missing or not names:
        held = next(name for name in files if name.endswith(".safetensors"))
        what = Problem("model.index_empty", "its {index} names no files", index=INDEX)
        if missing:
            what = Problem("model.part_missing", "{file} is missing", file=missing[0])
        raise UserError(
            "model.not_whole",
            "{id} holds {file}, but no whole model: {what}. If it is an adapter, choose its base model instead.",
            id=choice.id,
            file=held,
            what=what,
        )
    return names


def _parameters(info: Any) -> int | None:
    return info.safetensors.total if info.safetensors else None


def _dtype(info: Any) -> str:
    counts = (info.safetensors and info.safetensors.parameters) or {}
    return SHORT.get(max(counts, key=counts.__getitem__, default=""), "")


def _has_template(info: Any, files: dict[str, RemoteFile]) -> bool:
    if "chat_template.jinja" in files or "chat_template.json" in files:
        return True
    settings = (info.config or {}).get("tokenizer_config") or {}
    return bool(settings.get("chat_template"))


# ---- the copy on this machine, in the Hub's own cache


def kept_folder(choice: ModelChoice) -> Path | None:
    """The folder of a whole copy of this revision; None if there is none, or only a part, and for a member one of which
    nobody knows that everybody may have it.
    """
    if is_confined() and not choice.repository.is_open(choice.repository.kept_commit()):
        return None
    return _whole(choice)


def _whole(choice: ModelChoice) -> Path | None:
    commit = choice.repository.kept_commit()
    if not commit:
        return None
    folder = choice.repository.snapshot(commit)
    try:
        describe_folder(folder)
    except UserError:
        return None
    return folder


def not_here(choice: ModelChoice) -> UserError:
    """Why a model of the Hub has no folder."""
    if is_confined() and _whole(choice):
        return UserError(
            "model.not_open",
            "{id} is on this machine, and the Hub has not said that everybody may have it: it is gated or private, or "
            "another program brought it. Choose it in Train, where the Hub is asked.",
            id=choice.id,
        )
    return UserError(
        "model.not_here",
        "{id} is not on this machine, or not whole. Start or resume a run with it: that downloads it.",
        id=choice.id,
    )


def unchanging(choice: ModelChoice) -> Path | None:
    """The whole copy of a model whose revision is a commit: nobody needs to be asked whether it is still the same."""
    return kept_folder(choice) if COMMIT.fullmatch(choice.revision) else None


def kept_models() -> list[ModelChoice]:
    """Every model of the cache that is whole at its main branch, sorted by name."""
    from huggingface_hub import constants

    whole = []
    for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*")):
        id = folder.name.removeprefix("models--").replace("--", "/")
        choice = ModelChoice(source="hub", id=id)
        if not choice.problems() and kept_folder(choice):
            whole.append(choice)
    return whole
