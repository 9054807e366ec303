"""Presets: recipes that have a name. Some come with the app, others a person saved; each is a file like the recipe of a
run.

A preset may begin with `like: another-preset` and then holds only what differs, with its reasons. So numbers that many
models share are written, explained and changed in one place. What a run saves is always whole.
"""

import difflib
import functools
import re
from pathlib import Path
from typing import Any

from .base_models import ModelChoice
from .choices import merged
from .errors import Problem, UserError
from .recipe import Recipe, read_yaml
from .training_data import DatasetChoice

SHIPPED = Path(__file__).parent.parent / "presets"
LONGEST_NAME = 40


class Presets:
    """Every preset of an installation: those of the app, and those saved in the folder `own`."""

    def __init__(self, own: Path | None = None) -> None:
        self.own = own

    def names(self) -> list[str]:
        """A person's own first, then those of the app."""
        own = _names_in(self.own) if self.own else []
        shipped = [name for name in _shipped_names() if name not in own]
        return [*own, *shipped]

    def is_own(self, name: str) -> bool:
        return self.own is not None and (self.own / f"{name}.yaml").is_file()

    def path(self, name: str) -> Path:
        """The file of a preset. Raises UserError with the nearest name where there is none."""
        if name in self.names():  # nothing else is ever joined to a folder
            folder = self.own if self.own and self.is_own(name) else SHIPPED
            return folder / f"{name}.yaml"
        near = difflib.get_close_matches(str(name), self.names(), n=1)
        hint = Problem("preset.near", "Do you mean {name}?", name=near[0]) if near else self._all_named()
        raise UserError("preset.unknown", "There is no preset {name!r}. {hint}", name=name, hint=hint)

    def _all_named(self) -> Problem:
        return Problem("preset.all_named", "There are: {names}.", names=", ".join(self.names()))

    def load(self, name: str) -> Recipe:
        """The recipe of a preset. Raises UserError naming what is wrong with it."""
        path = self.path(name)
        return Recipe.from_dict(self.read(path)) if self.is_own(name) else _shipped(path)

    def all(self) -> tuple[dict[str, Recipe], dict[str, Problem]]:
        """(every preset that can be used, why each of the others cannot): a person may have written one by hand."""
        usable, broken = {}, {}
        for name in self.names():
            try:
                usable[name] = self.load(name)
            except UserError as error:
                broken[name] = without_folder(error.problem, self.path(name))
        return usable, broken

    def read(self, path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
        """The nested settings of a preset or any other recipe file, unchecked, with what it is like filled in.

        Raises UserError naming the file.
        """
        values = read_yaml(path)
        if "like" not in values:
            return values
        try:
            pattern = self.path(values.pop("like"))
        except UserError as error:
            raise UserError(
                "preset.like_unknown", "{name} begins with `like`. {error}", name=path.name, error=error
            ) from error
        if pattern in (path, *above):
            raise UserError(
                "preset.like_circle",
                "{name} is like {like}, which is like {preset}. Remove one of the two lines.",
                name=path.name,
                like=pattern.stem,
                preset=path.stem,
            )
        return merged(self.read(pattern, (path, *above)), values)

    def save(self, name: str, recipe: Recipe) -> str:
        """Keep a recipe under a name; returns the preset's name ("My Style!" -> "my-style"), under which it is then
        found.

        Raises UserError for a name that is empty or taken: nothing a person saved is replaced without a word.
        """
        dashed = re.sub(r"[^a-z0-9.]+", "-", (name or "").lower())
        kept = dashed.strip("-.")[:LONGEST_NAME].strip("-.")
        if not kept:
            raise UserError(
                "preset.no_name",
                "{name!r} is no name for a recipe. Use letters and digits, for example my-style.",
                name=name,
            )
        if kept in self.names():
            raise UserError(
                "preset.name_taken", "There is already a recipe called {name}. Choose another name.", name=kept
            )
        if self.own is None:
            raise UserError("preset.no_folder", "There is no folder to save presets in.")
        self.own.mkdir(parents=True, exist_ok=True, mode=0o700)
        recipe.save(self.own / f"{kept}.yaml")
        return kept


def suggested(model: ModelChoice, data: DatasetChoice, method: str = "", trainer: str = "") -> Recipe:
    """The settings that suit a model and its data before anybody changes them, with the learning rate of a `method`
    that is chosen, and of what is learned from the data (`preferences.trainer`).

    Starter model and dataset have a preset; the starter with a person's own file takes the one of the first dataset (it
    is so small that it needs another learning rate than models usually do); a Hub model takes those of its preset, if
    it has one; every other model takes the defaults.
    """
    made_for_both = preset_for(model, data)
    if made_for_both:
        return made_for_both.suiting(method, trainer)
    preset = preset_for(model, DatasetChoice()) or _preset_of(model) or Recipe(base_model=model)
    same_model = {"source": model.source, "id": model.id, "revision": model.revision}
    base = preset.base_model.model_copy(update=same_model)
    nameless = preset.model_copy(update={"base_model": base, "dataset": data, "name": "", "note": ""})
    return nameless.suiting(method, trainer)


def preset_for(model: ModelChoice, data: DatasetChoice) -> Recipe | None:
    """The preset that was made for the starter and one of its datasets."""
    return _for_the_starter(data.source, data.id) if model.source == "starter" else None


@functools.lru_cache(maxsize=200)
def _for_the_starter(source: str, id: str) -> Recipe | None:
    """Asked for every run of a list."""
    shipped = Presets()
    for preset in map(shipped.load, shipped.names()):
        made_for = preset.dataset.source, preset.dataset.id
        if preset.base_model.source == "starter" and made_for == (source, id):
            return preset
    return None


def _preset_of(model: ModelChoice) -> Recipe | None:
    """The preset that was made for a Hub model and any data."""
    return _for_the_hub().get(model.id) if model.source == "hub" else None


@functools.cache
def _for_the_hub() -> dict[str, Recipe]:
    """{id of a model: the first preset for it}; asked for every row of a list."""
    usable, _ = Presets().all()
    return {preset.base_model.id: preset for preset in reversed(usable.values())}


@functools.cache
def _shipped_names() -> list[str]:
    return _names_in(SHIPPED)


def _names_in(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


@functools.lru_cache(maxsize=100)
def _shipped(path: Path) -> Recipe:
    """Those of the app do not change while it runs, and the page asks for all of them often."""
    return Recipe.from_dict(Presets().read(path))


def without_folder(problem: Problem, path: Path) -> Problem:
    """What is wrong with the file at `path`, for visitors, who need not see where it lies."""
    values: dict[str, Any] = {}
    for name, value in problem.values.items():
        if isinstance(value, Problem):
            value = without_folder(value, path)
        elif isinstance(value, str):
            value = value.replace(str(path), path.name)
        values[name] = value
    return Problem(problem.code, problem.template, **values)
