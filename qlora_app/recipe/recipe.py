"""A Recipe is every choice of one run: what form, file and command line change and the worker reads."""

import difflib
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from ..base_models import ModelChoice, tasks_here
from ..choices import (
    Choices,
    dotted_name,
    iter_settings,
    one_of_kinds,
    setting,
    variant_of,
)
from ..errors import Problem, UserError, joined
from ..methods import METHODS, MethodChoices
from ..methods.method import PRECISIONS
from ..place import Place
from ..preferences import RATES, Preferences
from ..reporting import Reporting
from ..storage.disk import said
from ..storage.files import replace_file
from ..storage.reading import LARGEST_YAML, parse_yaml, read_text
from ..tasks import TaskChoice
from ..training_data import DatasetChoice
from .training import Training

if TYPE_CHECKING:
    AnyMethod = MethodChoices
else:
    AnyMethod = one_of_kinds(METHODS)

EFFORTS = {"quick": "Quick look", "balanced": "Balanced", "thorough": "Thorough"}
_EPOCHS = {"quick": 0.5, "balanced": 2.0, "thorough": 4.0}
# A small dataset needs more rounds to learn anything at all.
_LEAST_STEPS = {"quick": 20, "balanced": 60, "thorough": 120}
NO_SUCH_SETTING = Problem("recipe.no_such_setting", "There is no such setting.")
# A value somebody typed may be long, and one from a file may refer to itself a billion times over.
_ROUNDS = 3  # in which wrong settings are left out: one that is gone may leave its group without what it needs
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 2, 100, 100


class Recipe(Choices):
    """One run, whole."""

    name: str = setting("", "Name", "What you want to call the run.")
    note: str = setting("", "Note", "What it is for, in a line of your own.", part="saving")
    base_model: ModelChoice = ModelChoice()
    dataset: DatasetChoice = DatasetChoice()
    task: TaskChoice = TaskChoice()
    method: AnyMethod = METHODS[0]()
    preferences: Preferences = Preferences()
    training: Training = Training()
    reporting: Reporting = Reporting()
    launch: Place = Place()

    @property
    def task_name(self) -> str:
        """What the model learns to produce; empty where that depends on a model or data that are not known yet."""
        return self.task_on(tasks_here(self.base_model))

    def task_on(self, possible: tuple[str, ...]) -> str:
        """What the model learns to produce, where its base can learn the `possible` tasks; none of them where that is
        not known yet.
        """
        named: str = self.task.name
        if named != "auto":
            return named
        is_plain = "chat" in possible or len(possible) == 1
        return possible[0] if is_plain else ""

    @property
    def title(self) -> str:
        return self.name or f"{self.base_model.title} on {self.dataset.title}"

    def suiting(self, method: str = "", trainer: str = "") -> "Recipe":
        """The same with the learning rate for another method, or for what else is learned from the data: a model that
        bears larger steps with one bears them with the other. A precision in which it does not train becomes the
        smallest in which it does.
        """
        kind = next((kind for kind in METHODS if kind.model_fields["name"].default == method), type(self.method))
        same_trainer = trainer in ("", self.preferences.trainer)
        if kind is type(self.method) and same_trainer:
            return self
        rate = self.training.learning_rate * kind.learning_rate.value / self.method.learning_rate.value
        if not same_trainer and self.base_model.source != "starter":  # which is so small that it bears the same steps
            rate *= RATES.get(trainer, 1.0) / RATES[self.preferences.trainer]
        rounded = min(1.0, float(f"{rate:.2g}"))
        base, training = self.base_model, self.training.model_copy(update={"learning_rate": rounded})
        if base.precision not in kind.precisions:
            smallest = min(kind.precisions, key=PRECISIONS.index)
            base = base.model_copy(update={"precision": smallest})
        return self.model_copy(update={"base_model": base, "training": training})

    @classmethod
    def from_dict(cls, values: Any) -> "Recipe":
        """The recipe that nested settings stand for. Raises UserError with every mistake at once, `problems` keyed by
        the setting's dotted name. Whether its parts go together is `preflight`'s to say.
        """
        if not isinstance(values, dict):
            raise UserError(
                "recipe.no_mapping", "A recipe is a mapping of settings, for example `training: {{epochs: 2}}`."
            )
        recipe, problems = None, _impossible(values)
        try:
            recipe = cls.model_validate(values)
        except ValidationError as error:
            problems = dict(_sentence(e) for e in error.errors()) | problems
        if recipe is None or problems:
            raise wrong_settings(problems)
        return recipe

    @classmethod
    def as_far_as_readable(cls, values: dict[str, Any]) -> tuple["Recipe", dict[str, Problem]]:
        """(the recipe that nested settings stand for without those that are wrong, what is wrong with each). For
        showing: whether what is chosen in it is there is not looked at.
        """
        problems: dict[str, Problem] = {}
        for _ in range(_ROUNDS):
            try:
                return cls.model_validate(values), problems
            except ValidationError as error:
                wrong = error.errors()
            problems |= dict(_sentence(one) for one in wrong)
            for one in wrong:
                values = _without(values, _place(one))
        return cls(), problems

    @classmethod
    def load(cls, path: Path) -> "Recipe":
        """Read the recipe of a run. Raises UserError naming the file."""
        return cls.from_dict(read_yaml(path))

    def save(self, path: Path) -> None:
        """Whole or not at all: a file that is empty would take its name. Raises UserError where the disk refuses it."""
        with said(path.parent):
            replace_file(path, self.to_yaml())

    def to_yaml(self) -> str:
        text: str = yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
        return text


def read_yaml(path: Path) -> dict[str, Any]:
    """The nested settings of a recipe file, unchecked. Raises UserError naming the file."""
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("recipe.not_readable", "{path} cannot be read: {error}.", path=path, error=error) from error
    if len(text) > LARGEST_YAML:
        raise UserError(
            "recipe.too_long",
            "{path} has {characters:,} characters; a recipe has less than 65,536.",
            path=path,
            characters=len(text),
        )
    try:
        values = parse_yaml(text)
    except ValueError as error:
        raise UserError("recipe.no_yaml", "{path} is not valid YAML: {error}", path=path, error=error) from error
    if not isinstance(values, dict):
        raise UserError(
            "recipe.empty", "{path} holds no settings. A recipe looks like `training: {{epochs: 2}}`.", path=path
        )
    return values


def wrong_settings(problems: dict[str, Problem]) -> UserError:
    """The error of settings by their dotted names, a line each."""
    lines = [
        Problem("recipe.setting_line", "{setting}: {problem}", setting=name, problem=problem)
        for name, problem in problems.items()
    ]
    return UserError("recipe.wrong_settings", "{lines}", problems, lines=joined(lines, "\n"))


def epochs_for(effort: str, examples: int, batch_size: int) -> float:
    """How many epochs an effort means for a dataset of so many examples; small ones get at least some steps."""
    fewest = _LEAST_STEPS[effort] * batch_size / max(1, examples)
    return round(min(50.0, max(_EPOCHS[effort], fewest)), 2)


def _impossible(values: dict[str, Any]) -> dict[str, Problem]:
    """What is well-formed and yet cannot work, such as a model folder that is not there; each group by itself, whatever
    else is wrong.
    """
    problems: dict[str, Problem] = {}
    for group, kind in (("base_model", ModelChoice), ("dataset", DatasetChoice)):
        try:
            found = kind.model_validate(values.get(group, {})).problems()
        except ValidationError:
            continue  # reported with the mistakes of the whole
        problems |= {f"{group}.{name}": text for name, text in found.items()}
    return problems


def _sentence(error: Any) -> tuple[str, Problem]:
    """pydantic's error -> (dotted name, what is wrong with which value and what would be right)"""
    group, *rest = map(str, error["loc"])
    kind = rest.pop(0) if group == "method" and rest else ""  # which of the methods was meant
    path = ".".join([group, *rest])
    if error["type"] == "extra_forbidden":
        return path, _no_such_setting(path, kind)
    if error["type"] == "unknown_kind":
        path, error = f"{path}.name", error | {"input": error["input"]["name"]}
    return path, Problem(
        "recipe.wrong_value",
        "{value} does not fit: it should be {wanted}.",
        value=_SHORT.repr(error["input"]),
        wanted=_rule(error),
    )


def _place(error: Any) -> list[Any]:
    """Where in a recipe's values a mistake is; of a mapping inside, the whole."""
    group, *rest = error["loc"]
    inside = rest[1:] if group == "method" else rest  # the first says which of the methods was meant
    return [group, *inside[:2]]


def _without(values: Any, place: list[Any]) -> Any:
    """Nested values without what is at one place, or without the nearest that holds it."""
    name, *rest = place
    if not isinstance(values, dict) or name not in values:
        return values
    inside = values[name]
    is_deeper = bool(rest) and isinstance(inside, dict) and rest[0] in inside
    kept = {other: value for other, value in values.items() if other != name}
    return kept | {name: _without(inside, rest)} if is_deeper else kept


def _rule(error: Any) -> str:
    """What would be right, in pydantic's words."""
    message: str = error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    options, _, last = message.rpartition(" or ")
    if error["type"] in ("literal_error", "unknown_kind") and options:
        return Problem("rule.options", "{options} or {last}", options=options, last=last)
    return message


def _no_such_setting(path: str, kind: str) -> Problem:
    """With what was meant, as far as that can be guessed."""
    every = [leaf for leaf, _ in iter_settings(Recipe)]
    others = [variant_of(leaf) for leaf in every if dotted_name(leaf) == path and kind]
    if others:
        return Problem(
            "recipe.setting_of_others",
            "There is no such setting with method.name={kind}; it belongs to {methods}.",
            kind=kind,
            methods=", ".join(others),
        )
    variants = ("", kind or METHODS[0]().name)
    known = [dotted_name(leaf) for leaf in every if variant_of(leaf) in variants]
    known += Recipe.model_fields
    end = path.rpartition(".")[2]
    same_end = [name for name in known if name.rpartition(".")[2] == end]  # the group was left out
    near = same_end or difflib.get_close_matches(path, known, n=1, cutoff=0.6)
    if near:
        return Problem("recipe.setting_misspelt", "There is no such setting. Do you mean {near}?", near=near[0])
    return NO_SUCH_SETTING
