"""A small folder that chats with the adapter, its base beside it: a Space on the Hub, or a page on any machine."""

import shutil
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Literal

import yaml

from ..base_models.loading import folder_of
from ..choices import setting
from ..errors import Problem, UserError
from ..formatting import size
from ..inference.loaded import tokenizer_of
from ..jobs import JobWriter
from ..runs import Run
from ..runs.exports import Export
from ..runs.proof import Proof
from ..settings import Settings
from ..storage.files import replace_file, write_json
from ..storage.reading import is_regular
from ..tasks.template import ChatTemplate
from .exporter import Exporter
from .public_names import public_id, public_title
from .published import STAYS_HERE, name_base, take_weights
from .reproduce import TEMPLATES

TAKEN_ALONG = (".safetensors", ".json", ".jinja", ".model", ".txt")
LARGEST_BASE = 2_000_000_000  # bytes of a base that is not on the Hub and goes along
EXAMPLES = 6  # questions to choose from
PROBE = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}, {"role": "user", "content": "?"}]
PINNED = ("transformers", "peft", "accelerate")
TORCH = "2.8"  # the oldest that ZeroGPU brings: it has its own, and a pin would take another


class SpaceExporter(Exporter):
    """app.py in plain gradio, transformers and PEFT, what it needs, and the adapter; a base of the Hub by its name."""

    title: ClassVar[str] = "Chat demo (Space)"
    about: ClassVar[str] = (
        "A small page of its own that chats with the adapter, its base beside it: about a hundred lines of Gradio, for "
        "a Space on the Hub, with or without a GPU, or for any machine."
    )

    takes_adapter: ClassVar[bool] = True
    name: Literal["space"] = setting("space", "Export", "What is made.", labels={"space": "Chat demo (Space)"})

    def problems(self, run: Run) -> dict[str, Problem]:
        recipe = run.recipe()
        if not run.task().is_chat:
            return {"name": _no_chat(run.task().title)}
        if not recipe.method.opens_in_peft:
            return {"name": _not_plain(recipe.method.title())}
        return {}

    def write(self, run: Run, folder: Path, out: JobWriter, settings: Settings) -> Export:
        began = time.monotonic()
        out.say("Putting the page together.", state="starting")
        write_json(folder / "model.json", told(run))
        _copy(run.adapter, folder / "adapter")
        if run.base_model().source == "hub":
            name_base(run, folder / "adapter", run.base_model().id)
        else:
            _take_base(run, folder)
            name_base(run, folder / "adapter", "base")
        shutil.copyfile(TEMPLATES / "space.txt", folder / "app.py")
        replace_file(folder / "requirements.txt", requirements(run))
        replace_file(folder / "README.md", _readme(run))
        return self.made(run, folder, began)


def told(run: Run) -> dict[str, Any]:
    """What app.py reads of it. Raises UserError where transformers alone would ask it otherwise than it was taught."""
    base, opened, template = (
        run.base_model(),
        Proof.from_json(run.proof()).base,
        ChatTemplate.of(tokenizer_of(run.adapter)),
    )
    thinks = template.thinks_by_default
    shape = {"enable_thinking": thinks, "thinking": thinks} if template.has_thinking else {}
    _check_asked_alike(template, shape)
    return {
        "title": public_title(run),
        "base": base.id if base.source == "hub" else "base",
        "revision": base.revision or None,
        "dtype": opened.dtype,
        "quantization": opened.quantization,
        "system": template.system,
        "template": shape,
        "ends": template.stop_ids(thinks),
        "stop_strings": template.stop_strings,
        "examples": _examples(run),
    }


def _examples(run: Run) -> list[str]:
    """Questions to begin with: none of somebody's own data."""
    recipe = run.recipe()
    is_open = recipe.dataset.source in ("starter", "hub")
    return recipe.training.sample_questions[:EXAMPLES] if is_open else []


def requirements(run: Run) -> str:
    """Pinned as they are here, where it was tried; torch is what the hardware brings, else the newest."""
    names = [*PINNED, "bitsandbytes"] if Proof.from_json(run.proof()).base.quantization else list(PINNED)
    lines = [f"torch>={TORCH}", *(f"{name}=={version(name)}" for name in names)]
    return "\n".join([*lines, f"gradio=={version('gradio')}", ""])


def _check_asked_alike(template: ChatTemplate, shape: dict[str, Any]) -> None:
    system = [{"role": "system", "content": template.system}] if template.system else []
    for talk in (PROBE[:1], PROBE):
        ours = template.prompt_ids(system + talk)  # type: ignore[arg-type]
        theirs = template.tokenizer.apply_chat_template(
            system + talk, add_generation_prompt=True, return_dict=True, **shape
        )
        if list(theirs["input_ids"]) != list(ours):
            raise UserError(
                "export.space_template",
                "The chat template of this model asks for an answer in a way that transformers alone does not, so a "
                "page without this app would get other answers. Export the GGUF or the script.",
            )


def _take_base(run: Run, folder: Path) -> None:
    """One that is not on the Hub goes along. Raises UserError where it is too large for that."""
    source = folder_of(run.base_model())
    total = sum(path.stat().st_size for path in source.iterdir() if path.suffix in TAKEN_ALONG and is_regular(path))
    if total > LARGEST_BASE:
        raise UserError(
            "export.space_base_large",
            "The base is not on the Hub and has {size}: too much to go along with a chat page (at most {most}). "
            "Publish the merged model instead.",
            size=size(total),
            most=size(LARGEST_BASE),
        )
    _copy(source, folder / "base")


def _copy(source: Path, folder: Path) -> None:
    """What transformers and PEFT open of a folder, without what says where it lay."""
    for path in sorted(source.rglob("*")):
        inside = path.relative_to(source)
        if path.suffix not in TAKEN_ALONG or path.name in STAYS_HERE or path.is_symlink() or not is_regular(path):
            continue
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        copy = take_weights if path.suffix == ".safetensors" and path.name.startswith("adapter_") else shutil.copyfile
        copy(path, folder / inside)


def _readme(run: Run) -> str:
    base = run.base_model()
    about: dict[str, Any] = {
        "title": public_title(run)[:60],
        "emoji": "🦙",
        "colorFrom": "yellow",
        "colorTo": "indigo",
        "sdk": "gradio",
        "sdk_version": version("gradio"),
        "python_version": "3.12",
        "app_file": "app.py",
    }
    about |= {"models": [base.id]} if base.source == "hub" else {}
    front = yaml.safe_dump(about, sort_keys=False, allow_unicode=True)
    method = run.recipe().method.title()
    proof = Proof.from_json(run.proof())
    came = f"of {method} that was merged of others" if proof.merged else f"of {method} that was imported"
    came = f"that was trained with {method}" if proof.is_trained else came
    text = (TEMPLATES / "space_readme.txt").read_text(encoding="utf-8")
    return f"---\n{front}---\n" + text.format(title=public_title(run), how=came, run=public_id(run))


def _no_chat(task: str) -> Problem:
    return Problem(
        "export.space_task",
        "{task} is no conversation, and the page is a chat. Export the merged model for it.",
        task=task,
    )


def _not_plain(method: str) -> Problem:
    return Problem(
        "export.space_method",
        "PEFT alone does not open an adapter of {method}, and the page has nothing else. Export the merged model.",
        method=method,
    )
