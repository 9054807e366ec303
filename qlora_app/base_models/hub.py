"""The Hugging Face Hub: what can be found there, what is known of a model, and every way of not getting it as a sentence.

A token is given to each call by whoever has the settings; one that lies elsewhere on the machine is never sent.
"""

import errno
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..words import count_of, millions
from .choice import ModelChoice
from .recognition import SHORT, Facts, check_config, describe_folder, facts_of_folder, no_safetensors, read_config

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # before its library is imported: the Hub is told nothing about this machine
PATIENCE = 6.0  # seconds for an answer of the Hub while a person waits
INDEX = "model.safetensors.index.json"
SETTINGS_FILES = {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "tokenizer.model",
                  "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "spiece.model", "spm.model",
                  "chat_template.jinja", "chat_template.json", INDEX}
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Hit:
    """One model a search found."""

    id: str
    parameters: int | None
    licence: str
    is_gated: bool
    downloads: int  # in the last 30 days

    def summary(self) -> str:
        parts = [f"{millions(self.parameters)} parameters" if self.parameters else "size unknown",
                 f"licence {self.licence}" if self.licence else "no licence named", "gated" if self.is_gated else "",
                 count_of(self.downloads, "download")]
        return " · ".join(part for part in parts if part)


@dataclass(frozen=True)
class RemoteFile:
    """One file of a model on the Hub. `sha256` is of its content; small files have none."""

    name: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Remote:
    """A model on the Hub at one commit: what is known of it, and the files that are needed to train it."""

    id: str
    facts: Facts
    files: tuple[RemoteFile, ...]


def search(words: str, token: str | None = None, limit: int = 20) -> list[Hit]:
    """Models that write text and come as safetensors, most downloaded first. Raises UserError where the Hub gives no answer."""
    from huggingface_hub import ModelInfo, constants, get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    asked = {"search": words.strip(), "pipeline_tag": "text-generation", "filter": "safetensors", "sort": "downloads", "limit": limit,
             "expand": ["safetensors", "gated", "downloads", "tags"]}
    try:  # HfApi.list_models waits without end for a network that swallows its request
        answer = get_session().get(f"{constants.ENDPOINT}/api/models", params=asked, headers=build_hf_headers(token=token or False),
                                   timeout=PATIENCE)
        hf_raise_for_status(answer)
        return [_hit(ModelInfo(**found)) for found in answer.json()[:limit]]
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise explain(error, "") from error


def _hit(info: Any) -> Hit:
    return Hit(info.id, info.safetensors.total if info.safetensors else None, _licence(info), bool(info.gated), info.downloads or 0)


def _licence(info: Any) -> str:
    return next((tag.removeprefix("license:") for tag in info.tags or [] if tag.startswith("license:")), "")


def look_up(choice: ModelChoice, token: str | None = None) -> Facts:
    """What is known of a Hub model: asked of the Hub, or read from the copy on this machine where the Hub does not give it.

    Raises UserError if it cannot be had or cannot be trained. No weights are fetched.
    """
    if folder := unchanging(choice):
        return _facts_kept(choice, folder)
    try:
        return remote(choice, token).facts
    except NotGiven:
        if folder := kept_folder(choice):
            return _facts_kept(choice, folder)
        raise


def _facts_kept(choice: ModelChoice, folder: Path) -> Facts:
    return replace(facts_of_folder(folder), name=choice.id, commit=folder.name)


class NotGiven(UserError):
    """The Hub does not give it, for whatever reason: a copy on this machine has to do, where there is one."""


def remote(choice: ModelChoice, token: str | None = None) -> Remote:
    """A model as the Hub describes it now, with its config and the list of files to get. Raises UserError."""
    from huggingface_hub import HfApi

    try:
        info = HfApi(token=token or False).model_info(choice.id, revision=choice.revision or None, files_metadata=True, timeout=PATIENCE)
        files = {s.rfilename: RemoteFile(s.rfilename, s.size or 0, s.lfs.sha256 if s.lfs else "") for s in info.siblings or []}
        if "config.json" not in files or not any(name.endswith(".safetensors") for name in files):
            raise UserError(no_safetensors(choice.id, list(files)))
        config = check_config(choice.id, read_config(_small_file(choice, "config.json", token)))
        wanted = [files[name] for name in sorted(SETTINGS_FILES & set(files))]
        wanted += [files[name] for name in _weights(choice, files, token)]
        facts = Facts(choice.id, config, info.safetensors.total if info.safetensors else None, _dtype(info), _has_template(info, files),
                      _licence(info), bool(info.gated), info.sha or "", 0)
        return Remote(choice.id, replace(facts, missing=sum(f.size - arrived(choice.id, facts.commit, f) for f in wanted)), tuple(wanted))
    except UserError:
        raise
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise explain(error, choice.id, choice.revision, bool(token)) from error


def _small_file(choice: ModelChoice, name: str, token: str | None) -> Path:
    """By the name of the branch, so that the cache knows which commit that was when the Hub is out of reach."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(choice.id, name, revision=choice.revision or "main", token=token or False, etag_timeout=PATIENCE))


def _weights(choice: ModelChoice, files: dict[str, RemoteFile], token: str | None) -> list[str]:
    """The files transformers will open: those the index names, else the only one. Raises UserError."""
    names = ["model.safetensors"]
    if INDEX in files and "model.safetensors" not in files:
        listed = read_config(_small_file(choice, INDEX, token))
        names = sorted({str(name) for name in listed.get("weight_map", {}).values()}) if isinstance(listed, dict) else []
    if strange := [name for name in names if "/" in name or "\\" in name]:
        raise UserError(f"The index of {choice.id} points outside its folder ({strange[0]}). Do not use this model.")
    if not names or (missing := [name for name in names if name not in files]):
        held = next(name for name in files if name.endswith(".safetensors"))
        what = f"{missing[0]} is missing" if names else f"its {INDEX} names no files"
        raise UserError(f"{choice.id} holds {held}, but no whole model: {what}. If it is an adapter, choose its base model instead.")
    return names


def _dtype(info: Any) -> str:
    counts = (info.safetensors and info.safetensors.parameters) or {}
    return SHORT.get(max(counts, key=counts.__getitem__, default=""), "")


def _has_template(info: Any, files: dict[str, RemoteFile]) -> bool:
    return bool({"chat_template.jinja", "chat_template.json"} & set(files)
                or ((info.config or {}).get("tokenizer_config") or {}).get("chat_template"))


# ---- the copy on this machine, in the Hub's own cache


def cache_folder(id: str) -> Path:
    """Where the Hub's library keeps a model; it need not be there."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=id, repo_type="model")


def kept_folder(choice: ModelChoice) -> Path | None:
    """The folder of a whole copy of this revision; None if there is none, or only a part."""
    home, revision = cache_folder(choice.id), choice.revision or "main"
    ref = home / "refs" / revision
    folder = home / "snapshots" / (ref.read_text().strip() if ref.is_file() else revision)
    try:
        describe_folder(folder)
    except UserError:
        return None
    return folder


def unchanging(choice: ModelChoice) -> Path | None:
    """The whole copy of a model whose revision is a commit: nobody needs to be asked whether it is still the same."""
    return kept_folder(choice) if COMMIT.fullmatch(choice.revision) else None


def kept_models() -> list[ModelChoice]:
    """Every model of the cache that is whole at its main branch, sorted by name."""
    from huggingface_hub import constants

    ids = [folder.name.removeprefix("models--").replace("--", "/") for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*"))]
    return [choice for choice in (ModelChoice(source="hub", id=id) for id in ids) if kept_folder(choice)]


def arrived(id: str, commit: str, file: RemoteFile) -> int:
    """Bytes of a file that are on this machine already, those of an unfinished download included."""
    home = cache_folder(id)
    if (home / "snapshots" / commit / file.name).exists() or (file.sha256 and (home / "blobs" / file.sha256).exists()):
        return file.size
    unfinished = home / "blobs" / f"{file.sha256}.incomplete"
    return min(file.size, unfinished.stat().st_size) if file.sha256 and unfinished.exists() else 0


# ---- what went wrong


def explain(error: BaseException, id: str, revision: str = "", has_token: bool = False) -> UserError:
    """Each way of getting nothing from the Hub as a sentence with the next step."""
    from huggingface_hub import constants, errors

    if isinstance(error, UserError):
        return error
    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        return explain(error.__cause__, id, revision, has_token)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return UserError(f"The disk is full: {id} does not fit into {constants.HF_HUB_CACHE}. What has arrived is kept. Free some space, "
                         "or set HF_HOME to a folder on a larger disk, then press Resume.")
    if isinstance(error, errors.GatedRepoError):
        return NotGiven(_gated(id, constants.ENDPOINT, has_token))
    if isinstance(error, errors.RevisionNotFoundError):
        return NotGiven(f"{id} has no revision {revision or 'main'}. Leave the revision empty to take its main branch, or look for the "
                         f"right name at {constants.ENDPOINT}/{id}/tree/main.")
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(error, id, has_token)
    what = id or "The search"
    if isinstance(error, errors.OfflineModeIsEnabled):
        return NotGiven(f"{what} needs the Hub, and offline mode is on. Unset HF_HUB_OFFLINE and start the app again, "
                         "or choose a model that is on this machine.")
    if isinstance(error, errors.HTTPError):  # of httpx: no connection, no answer in time, a connection that broke
        return NotGiven(f"{what} needs the Hub, which cannot be reached ({type(error).__name__} at {constants.ENDPOINT}). "
                         "Check the network and try again; a download goes on where it ended.")
    return NotGiven(f"The Hub gave an answer that makes no sense for {id or 'the search'} ({type(error).__name__}: {str(error)[:120]}). "
                     "Try again later.")


def _gated(id: str, endpoint: str, has_token: bool) -> str:
    if has_token:
        return (f"{id} is gated, and the account of your token is not on its list yet. Open {endpoint}/{id}, accept its terms "
                "(some authors answer by hand, which takes a while), then try again.")
    return (f"{id} is gated: its authors want you to accept their terms first. Open {endpoint}/{id} and accept them, make a token at "
            f"{endpoint}/settings/tokens, set QLORA_APP_HUB_TOKEN to it and start the app again.")


def _refused(error: Any, id: str, has_token: bool) -> NotGiven:
    """The Hub's answers with a status code. Without a token it does not tell a private model from one that does not exist."""
    from huggingface_hub.errors import RepositoryNotFoundError

    status = error.response.status_code
    if status == 401 and has_token:
        return NotGiven("The Hub does not accept the token in QLORA_APP_HUB_TOKEN. It may have expired: make a new one, set the variable "
                         "and start the app again.")
    if status == 401:
        return NotGiven(f"{id} is private, or there is no such model: without a token the Hub does not say which. Check the spelling; "
                         "if it is yours, set QLORA_APP_HUB_TOKEN to a token that may read it and start the app again.")
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return NotGiven(f"The Hub has no model {id} that can be read here. Check the spelling: an id looks like owner/name.")
    if status == 403:
        return NotGiven(f"The token in QLORA_APP_HUB_TOKEN may not read {id}. Give it the permission to read this repository "
                         "(fine-grained tokens name each), or make another.")
    if status == 429:
        return NotGiven("The Hub asks for a pause, because too many requests came from here. Wait five minutes and try again; "
                         "with QLORA_APP_HUB_TOKEN set it allows more.")
    return NotGiven(f"The Hub cannot answer at the moment (error {status}). Try again in a few minutes.")
