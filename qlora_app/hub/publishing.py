"""Files of this machine onto the Hub: what is there already is not sent again, and what came is checked."""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Stopped, UserError
from ..storage.digests import sha256_of
from .errors import explain, giving_it
from .repository import Repository, ask

# What programs look for by these names, whatever else lies there: it would be taken for a part of what is sent.
# transformers opens model.safetensors before any shards, and an adapter on top of any model.
OF_TOKENIZERS = re.compile(
    r"chat_template\.(jinja|json)|tokenizer(_config)?\.json|tokenizer\.model|special_tokens_map\.json|added_tokens\.json"
    r"|vocab\.(json|txt)|merges\.txt|spiece\.model"
)
OF_MODELS = re.compile(
    r"(adapter_|generation_)?config\.json|(adapter_)?model\.safetensors(\.index\.json)?|model-\d+-of-\d+\.safetensors"
)
OF_OLLAMA = re.compile(r"template|system|params")
GGUF_TYPE = re.compile(r"-([A-Z]+\d\w*)\.gguf$")  # of the name of a GGUF file: Ollama chooses by it


@dataclass(frozen=True)
class Pushed:
    """Where it is now."""

    url: str
    commit: str
    sent: int  # files; the others were there


@dataclass(frozen=True)
class Account:
    """Whose token it is, and what that may write to."""

    name: str
    organizations: tuple[str, ...]
    role: str  # of the token: read, write, or fineGrained, which names what it may

    def may_write_to(self, owner: str) -> bool:
        """What a fine-grained token may is found out by writing."""
        return self.role == "fineGrained" or owner in (self.name, *self.organizations)


def account_of(token: str) -> Account:
    """Raises UserError where the Hub does not know the token, or cannot be asked."""
    try:
        told = ask("whoami-v2", token)
        organizations = tuple(str(one["name"]) for one in told.get("orgs") or [])
        return Account(str(told["name"]), organizations, str(told["auth"]["accessToken"]["role"]))
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise explain(error, None, True) from error


def is_there(repository: Repository, token: str) -> bool | None:
    """Is it private? None: there is none of that name. Raises UserError where the Hub cannot be asked."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return bool(ask(f"{repository.kind}s/{repository.id}", token).get("private"))
    except RepositoryNotFoundError:
        return None
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise explain(error, repository, True) from error


def check_alone(repository: Repository, names: Iterable[str], token: str) -> None:
    """Raises UserError where files lie there that would be read as a part of those with these names, and where the Hub
    cannot be asked.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        _check_alone(repository, _checksums(HfApi(token=token), repository), names)
    except RepositoryNotFoundError:
        return
    except UserError:
        raise
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise explain(error, repository, True) from error


def _check_alone(repository: Repository, there: Iterable[str], names: Iterable[str]) -> None:
    """Raises UserError; nothing is taken away, as nobody can tell whose it is."""
    if others := mistaken(repository, there, names):
        raise UserError(
            "hub.others_are_there",
            "{id} holds {names}, of an earlier push or of somebody else, which programs would read as a part of this. "
            "Delete that on the Hub, or choose another name.",
            id=repository.id,
            names=", ".join(others),
        )


def mistaken(repository: Repository, there: Iterable[str], names: Iterable[str]) -> list[str]:
    """Which of those there would be read as a part of files with these names."""
    sent, others = set(names), sorted(set(there) - set(names))
    if repository.kind != "model":
        return []
    if types := _gguf_types(sent):
        return [name for name in others if OF_OLLAMA.fullmatch(name) or _gguf_types([name]) & types]
    is_adapter = "adapter_config.json" in sent  # PEFT opens it alone
    return [name for name in others if OF_TOKENIZERS.fullmatch(name) or (not is_adapter and OF_MODELS.fullmatch(name))]


def _gguf_types(names: Iterable[str]) -> set[str]:
    return {found[1] for name in names if (found := GGUF_TYPE.search(name))}


def push(
    repository: Repository,
    files: dict[str, Path],
    token: str,
    private: bool,
    tag: str,
    on_progress: Callable[[int, int, str], None],
    is_stopped: Callable[[], bool],
) -> Pushed:
    """{name: file}, all as one commit: what is there is whole at every moment. Large files are sent before it, one by
    one, and stay with the Hub where it breaks off, so that the next push sends the rest. `tag` names the commit.

    on_progress: hears bytes there, of how many, and the file's name. Raises UserError, and Stopped once `is_stopped()`.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    api, of = HfApi(token=token), {"repo_type": repository.kind}
    try:
        sdk = "gradio" if repository.kind == "space" else None
        url = api.create_repo(repository.id, **of, private=private, exist_ok=True, space_sdk=sdk)
        _check_private(api, repository, private)
        before = str(api.repo_info(repository.id, **of).sha)
        there = _checksums(api, repository, before)
        _check_alone(repository, there, files)
        missing = [name for name, path in files.items() if there.get(name) != _checksum(path, there.get(name, ""))]
        total, done = sum(path.stat().st_size for path in files.values()), 0
        added = {name: CommitOperationAdd(name, str(files[name])) for name in missing}
        for name, path in sorted(files.items()):
            if is_stopped():
                raise Stopped
            if name in added:
                on_progress(done, total, name)
                api.preupload_lfs_files(repository.id, [added[name]], **of)  # small ones go with the commit
            done += path.stat().st_size
        if is_stopped():
            raise Stopped
        if added:
            on_progress(total, total, "README.md")
            words = {"commit_message": f"Run {tag}", "parent_commit": before}
            api.create_commit(repository.id, list(added.values()), **of, **words)
        commit = str(api.repo_info(repository.id, **of).sha)
        _check_whole(_checksums(api, repository, commit), files, repository)
        _move_tag(api, repository, tag, commit)
    except (UserError, Stopped):
        raise
    except Exception as error:  # whatever the network does, the person gets a sentence
        raise _not_sent(error, repository) from error
    return Pushed(str(url), commit, len(missing))


def _move_tag(api: Any, repository: Repository, tag: str, commit: str) -> None:
    """What the card tells people to open is what stands beside it, also where the run was published before."""
    of = {"repo_type": repository.kind}
    there = {one.name: one.target_commit for one in api.list_repo_refs(repository.id, **of).tags}
    if there.get(tag) == commit:
        return
    if tag in there:
        api.delete_tag(repository.id, **of, tag=tag)
    api.create_tag(repository.id, **of, tag=tag, revision=commit)


def _check_private(api: Any, repository: Repository, private: bool) -> None:
    if private and not api.repo_info(repository.id, repo_type=repository.kind).private:
        raise is_public(repository)


def is_public(repository: Repository) -> UserError:
    """Of what was to be private."""
    return UserError(
        "hub.repository_is_public",
        "{id} is there already, and everybody may read it. Choose another name, or say that it may be public.",
        id=repository.id,
    )


def _checksums(api: Any, repository: Repository, commit: str | None = None) -> dict[str, str]:
    """{name: what git or its large files call the content}"""
    entries = api.list_repo_tree(repository.id, repo_type=repository.kind, recursive=True, revision=commit)
    files = [one for one in entries if hasattr(one, "blob_id")]
    return {one.path: one.lfs.sha256 if one.lfs else one.blob_id for one in files}


def _checksum(path: Path, like: str) -> str:
    """Of the same kind as another one: SHA-256 of a large file, git's own of a small one."""
    if len(like) == 64:
        return sha256_of(path)
    if not like:
        return "-"
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _check_whole(there: dict[str, str], files: dict[str, Path], repository: Repository) -> None:
    wrong = [name for name, path in files.items() if there.get(name) != _checksum(path, there.get(name, ""))]
    if wrong:
        raise UserError(
            "hub.not_what_was_sent",
            "{id} does not hold what was sent: {name} is missing there, or another. Somebody else may have changed it "
            "meanwhile. Publish it once more.",
            id=repository.id,
            name=wrong[0],
        )


def _not_sent(error: BaseException, repository: Repository) -> UserError:
    from huggingface_hub.errors import HfHubHTTPError, HTTPError

    if isinstance(error, RuntimeError) and error.__cause__ is not None:  # of one file: why is behind it
        return _not_sent(error.__cause__, repository)
    status = error.response.status_code if isinstance(error, HfHubHTTPError) and error.response is not None else 0
    if status in (401, 403):
        return UserError(
            "hub.may_not_write",
            "This token may not write to {id}. Make one on the Hub that may, {give}.",
            give=giving_it(),
            id=repository.id,
        )
    if status in (409, 412):
        return UserError(
            "hub.changed_meanwhile",
            "{id} was changed by somebody else meanwhile. Publish it once more: what has arrived stays there.",
            id=repository.id,
        )
    is_httpx = isinstance(error, HTTPError) and not isinstance(error, HfHubHTTPError)
    if is_httpx or isinstance(error, ConnectionError | TimeoutError):  # those of Xet are Python's own
        return UserError(
            "hub.push_broke_off",
            "The connection to the Hub broke off ({kind}). What has arrived of {id} stays there: check the network, "
            "and publish it once more, which sends the rest.",
            kind=type(error).__name__,
            id=repository.id,
        )
    return explain(error, repository, True)
