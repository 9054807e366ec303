"""What leaves this machine says nothing of it: no folders, no account, no data, no notes."""

import json
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import yaml

from ..base_models.loading import folder_of
from ..errors import UserError
from ..jobs import Job
from ..runs import Run
from ..runs.exports import FILES, REPORT, made_by
from ..settings import Settings
from ..storage.files import replace_file, write_json
from ..storage.reading import is_regular
from .adapter import TAKEN_ALONG
from .curve_picture import draw_curve
from .exporter import OF_THIS_MACHINE, without_places
from .hub_card import CURVE, Terms, hub_card
from .modelfile import Asked
from .public_names import public_id

STAYS_HERE = ("proof.json", "trainer_state.json", "README.md", "COMPLETE.json", "held_out_answers.json", REPORT)
SHORTEST = 8  # letters of what cannot stand somewhere by chance
LARGEST_TEXT = 50_000_000  # bytes that are looked through
# Their words are those of this app, of PEFT, of the base and of its vocabulary.
OF_EVERYBODY = (
    *("README.md", "app.py", "adapter_config.json", "config.json"),
    *("tokenizer.json", "vocab.json", "vocab.txt", "merges.txt", "added_tokens.json"),
)
VOCABULARIES = (".gguf", ".model")
ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
DEPTH = 3  # texts in texts
# What providers print at the front of a key, so that such can be found.
A_TOKEN = re.compile(
    r"(?<![A-Za-z0-9])(hf_[A-Za-z0-9]{20,}|sk-[\w-]{20,}|gw-[\w-]{20,}|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{50,}"
    r"|AKIA[A-Z0-9]{16}(?![A-Za-z0-9])|AIza[\w-]{35}|xox[abps]-[\w-]{20,}|glpat-[\w-]{20,})"
)


def to_publish(run: Run, what: str, made: Path | None, repository: str, folder: Path, terms: Terms) -> dict[str, Path]:
    """{name: file} of what goes to the Hub. made: the folder of the export; None for the adapter. Small files are
    rewritten in `folder`, large ones stay where they are. Raises UserError where it would not open elsewhere.
    """
    source = made / FILES if made else run.adapter
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    if what == "space":
        return _space(source, folder, terms)
    files = {}
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        is_taken = path.suffix in (*TAKEN_ALONG, ".gguf") and path.name not in STAYS_HERE
        if not is_taken or path.is_symlink() or not is_regular(path):
            continue
        name = name.replace(run.id, public_id(run))
        files[name] = path
        if path.suffix in (".json", ".jinja", ".txt", ".md"):
            files[name] = folder / name
            files[name].parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, files[name])
    without_places(folder)
    if what == "adapter":
        _name_base(run, folder)
        for name in [name for name in files if name.endswith(".safetensors")]:
            take_weights(files[name], folder / name)
            files[name] = folder / name
    if what == "gguf":
        files |= _for_ollama(run, folder)
    shown = draw_curve(run, folder / CURVE)
    files |= {CURVE: folder / CURVE} if shown else {}
    told = made_by(Job(made)) if made else None
    replace_file(folder / "README.md", hub_card(run, what, files, repository, terms, shown, told))
    return files | {"README.md": folder / "README.md"}


def _for_ollama(run: Run, folder: Path) -> dict[str, Path]:
    """{name: file} of what Ollama reads beside a GGUF; {} where it cannot write what the model learned with."""
    try:
        texts = Asked.of(run).hub_files()
    except UserError:
        return {}
    for name, text in texts.items():
        replace_file(folder / name, text)
    return {name: folder / name for name in texts}


def _space(source: Path, folder: Path, terms: Terms) -> dict[str, Path]:
    """Made to be sent; its card gets the licence of the base."""
    files = {path.relative_to(source).as_posix(): path for path in sorted(source.rglob("*")) if is_regular(path)}
    card = files["README.md"].read_text(encoding="utf-8")
    front = f"---\n{yaml.safe_dump(terms)}" if terms else "---\n"
    replace_file(folder / "README.md", card.replace("---\n", front, 1))
    return files | {"README.md": folder / "README.md"}


def _name_base(run: Run, folder: Path) -> None:
    """PEFT looks for the base by what the adapter calls it. Raises UserError for a base that only this machine has."""
    base = run.base_model()
    if base.source != "hub":
        raise UserError.at(
            "what",
            "publish.base_not_on_hub",
            "The base of {run} is not on the Hub, so nobody could open the adapter there. Publish the merged model.",
            run=run.id,
        )
    name_base(run, folder, base.id)


def name_base(run: Run, folder: Path, name: str) -> None:
    """What the adapter in a folder calls its base: a repository, or a folder beside it."""
    read = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config = {key: value for key, value in read.items() if key not in OF_THIS_MACHINE}
    told = {"base_model_name_or_path": name, "revision": run.base_model().revision or None}
    write_json(folder / "adapter_config.json", config | told)


def take_weights(source: Path, target: Path) -> None:
    """An adapter's, without what somebody wrote of them into their header."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(source, "pt") as file:
        said = file.metadata() or {}
    if said.keys() - {"format"}:
        save_file(load_file(source), target, {"format": "pt"})
    else:
        shutil.copyfile(source, target)


def check_says_nothing(files: dict[str, Path], run: Run, settings: Settings) -> None:
    """Raises UserError where a file names a folder of this machine, or holds a secret."""
    folders = [Path.home(), settings.home, run.folder, settings.data]
    if run.base_model().source == "folder":
        folders.append(folder_of(run.base_model()))
    places = {str(folder) for folder in folders} - {"/"}
    for name, path in files.items():
        texts = readings(text_of(path))
        if setting := secret_in(name, texts, settings.secrets):
            raise UserError.at(
                "what",
                "publish.holds_setting",
                "{name} holds the value of {setting}, so nothing was sent. Take it out of the data or the adapter; or "
                "set {setting} to another one, if it only happens to be a word that stands there.",
                name=name,
                setting=setting,
            )
        if any(A_TOKEN.search(text) for text in texts):
            raise UserError.at(
                "what",
                "publish.holds_secret",
                "{name} holds what looks like a token, so nothing was sent. Take it out of the data or the adapter "
                "first.",
                name=name,
            )
        if any(f"{place}/" in text or f'{place}"' in text for place in places for text in texts):
            raise UserError.at(
                "what",
                "publish.names_folder",
                "{name} names a folder of this machine, so nothing was sent. Take it out of the data or the adapter "
                "first.",
                name=name,
            )


def secret_in(name: str, texts: list[str], secrets: dict[str, str]) -> str:
    """The setting whose word stands in a file, of which `texts` are all readings; "" where none does.

    A password may be a word of a language, or a short number: such a one is looked for as a whole word. Vocabularies
    hold those by themselves, and so do the texts that this app writes for everybody: in these files it tells nobody
    anything.
    """
    for setting, secret in secrets.items():
        is_word = secret.isalpha() or len(secret) < SHORTEST
        if is_word and (name.rpartition("/")[2] in OF_EVERYBODY or Path(name).suffix in VOCABULARIES):
            continue
        wanted = rf"(?<!\w){re.escape(secret)}(?!\w)" if is_word else re.escape(secret)
        if any(re.search(wanted, text) for text in texts):
            return setting
    return ""


def readings(text: str) -> list[str]:
    """A text as it is, and without the marks with which JSON, addresses, and JSON in JSON write what stands in them."""
    found = [text]
    while len(found) <= DEPTH and (inside := ESCAPED.sub(_unescaped, unquote(found[-1]))) != found[-1]:
        found.append(inside)
    return found


def _unescaped(mark: re.Match[str]) -> str:
    if mark[1]:
        return chr(int(mark[1], 16))
    return {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}.get(mark[2], mark[2])


def text_of(path: Path) -> str:
    """What of a file is text: of weights their header, of a picture what is said of it."""
    if path.suffix == ".png":
        from PIL import Image

        with Image.open(path) as picture:
            return "\n".join(map(str, picture.info.values()))
    with open(path, "rb") as file:
        most = LARGEST_TEXT
        if path.suffix == ".safetensors":
            most = min(most, int.from_bytes(file.read(8), "little"))
        if path.suffix == ".gguf":
            most = _gguf_header(path)
        return file.read(most).decode("utf-8", "replace")


def _gguf_header(path: Path) -> int:
    """Bytes before its tensors: there it says what it is, and holds its vocabulary and template."""
    from gguf import GGUFReader

    return int(GGUFReader(path).data_offset)
