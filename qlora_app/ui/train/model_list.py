"""The models one can start from, in groups: what stands in each row, and in which order. No Gradio.

A row is a model with the recipe that is recommended for it, or a recipe of its own: a paper's, or one that a person
saved.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...base_models import ModelChoice, kept_folder, models_below
from ...base_models.families import family_named
from ...base_models.recognition import describe_folder, tasks_of
from ...base_models.shapes import Shapes, shapes_of
from ...errors import Problem, UserError
from ...fits import verdict
from ...formatting import about, gigabytes, millions, size
from ...hardware import Machine
from ...hardware_fit import ENOUGH, known_models, sizes_of, smallest_card
from ...memory import needed_here
from ...presets import Presets, suggested
from ...recipe import Recipe
from ...training_data import DatasetChoice
from .form_values import model_value

CHAT, LABELS, TEXT, PAPERS, MINE = KINDS = ("chat", "labels", "text", "papers", "mine")
KIND_TITLES = {CHAT: "Chat", LABELS: "Labels", TEXT: "Text-to-text", PAPERS: "Papers", MINE: "Mine"}
# Recipes that are a paper's, or show its method on the starter; every other one of a Hub model is that model's.
OF_PAPERS = (
    "guanaco-7b",
    "guanaco-13b",
    "guanaco-33b",
    "guanaco-65b",
    "guanaco-llama2-7b",
    "qalora",
    "t-few",
    "adamix",
    "meft",
    "starter-qalora",
    "starter-adamix",
    "starter-meft",
    "starter-ia3",
)
STARTER_SIZE = "built in, 5 MB"
STARTER_NOTE = "It knows one made-up town. Trains in minutes anywhere, and is there to see how it works."
WIDE = {"bf16": 2, "fp16": 2, "fp32": 4}  # bytes of a number as the weights are published
SLOW_FROM = 990_000_000  # parameters, with which nobody waits for a CPU
FIRST_ON_CPU, FIRST_ON_GPU = 200_000_000, 2_000_000_000  # parameters, at most, of a good first model
MODEL_ROW, RECIPE_ROW, PLAN_ROW = "model:", "recipe:", "plan:"
FIT_WORDS = {"fits": "fits", "tight": "tight", "too large": "too large here", "": ""}

TimeOf = Callable[[Recipe, Shapes | None], float | None]


@dataclass(frozen=True)
class Row:
    """One model or recipe, as the list shows it."""

    key: str  # what choosing it sends
    title: str
    kind: str  # one of KINDS
    facts: tuple[str, ...] = ()  # its size, its licence
    download: str = ""  # how much is to be downloaded
    level: str = ""  # "fits", "tight", "too large"; "" where it cannot be said
    fit: str = ""  # the same in a few words
    figures: str = ""  # the whole sentence
    time: str = ""  # "about 6 min"
    note: str = ""
    id: str = ""  # of the Hub, for whoever searches by it
    is_written: bool = False  # was its name written by a person?
    problem: Problem | None = None  # why it cannot be chosen
    parameters: int = 0

    @property
    def searched(self) -> str:
        """What typed words are looked for in."""
        return " ".join([self.title, self.id, *self.facts, KIND_TITLES[self.kind], self.note]).lower()


@dataclass(frozen=True)
class Group:
    title: str
    rows: list[Row] = field(default_factory=list)


class ModelList:
    """Every row there is, for one machine and the data on the form."""

    def __init__(
        self, presets: Presets, folder: Path, kept: Sequence[ModelChoice], machine: Machine, time_of: TimeOf
    ) -> None:
        """`folder`: where models of this machine lie; `kept`: those of the Hub that were downloaded; `time_of`: seconds
        that a recipe takes, None where that is not known.
        """
        self.presets = presets
        self.folder = folder
        self.kept = kept
        self.machine = machine
        self.time_of = time_of
        self.usable, self.broken = presets.all()

    def groups(self) -> list[Group]:
        """The groups in their order, without those in which there is nothing."""
        local = self._local()
        kept = {row.id for row in local if row.id}
        known = [row for row in self._known() if row.id not in kept]
        chat = [row for row in known if row.kind == CHAT]
        here = [row for row in chat if self._is_for_here(row)]
        larger = [row for row in chat if row not in here]
        others = [row for row in known if row.kind != CHAT]
        groups = [
            Group("On this machine", local),
            Group("For this computer", here),
            Group(self._larger_title(), larger),
            Group("Labels, text-to-text, fill-mask", others),
            Group("Papers, number by number", self._papers()),
            Group("Mine", self._mine()),
        ]
        return [group for group in groups if group.rows]

    def first(self) -> Row | None:
        """What to take instead of the starter: a chat model that fits and is quick enough here; None where none is."""
        most = FIRST_ON_CPU if self.machine.kind == "cpu" else FIRST_ON_GPU
        fitting = [row for row in self._known() if row.kind == CHAT and row.level == "fits"]
        quick = [row for row in fitting if row.parameters <= most]
        return max(quick or fitting[:1], key=lambda row: row.parameters, default=None)

    def _is_for_here(self, row: Row) -> bool:
        is_quick = self.machine.kind != "cpu" or row.parameters < SLOW_FROM
        return row.level in ENOUGH and is_quick

    def _larger_title(self) -> str:
        return "Better with a GPU (none here)" if self.machine.kind == "cpu" else "Needs a larger GPU"

    # ---- what there is

    def _local(self) -> list[Row]:
        """The starter, the folders, what the Hub's cache holds; last what cannot be used, with the reason."""
        found = models_below(self.folder)
        starter = self._model(ModelChoice(), "Pennywick starter", STARTER_NOTE, CHAT)
        folders = [self._of_folder(path) for path, problem in found if not problem]
        broken = [_broken(path.name, CHAT, problem) for path, problem in found if problem]
        return [starter, *folders, *map(self._kept, self.kept), *broken]

    def _of_folder(self, path: Path) -> Row:
        model = ModelChoice(source="folder", id=str(path))
        return self._model(model, path.name, "", _kind_of(describe_folder(path)))

    def _kept(self, model: ModelChoice) -> Row:
        named = self._named(model.id)
        if named:
            recipe = self.usable[named]
            return self._model(model, recipe.name, recipe.note, _kind_of_known(model.id))
        folder = kept_folder(model)
        config = describe_folder(folder) if folder else {}
        return self._model(model, model.id, "", _kind_of(config), shapes_of(config) if config else None)

    def _known(self) -> list[Row]:
        """Models that a recipe was made for, from the smallest to the largest; those of long ago last."""
        names = [name for name in self.usable if self._is_a_models(name)]
        rows = []
        for name in names:
            recipe = self.usable[name]
            model = ModelChoice(source="hub", id=recipe.base_model.id)
            rows.append(self._model(model, recipe.name, recipe.note, _kind_of_known(model.id)))
        return sorted(rows, key=lambda row: (known_models()[row.id]["model_type"] == "gpt2", row.parameters))

    def _is_a_models(self, name: str) -> bool:
        is_of_the_hub = self.usable[name].base_model.id in known_models()
        return is_of_the_hub and name not in OF_PAPERS and not self.presets.is_own(name)

    def _named(self, id: str) -> str | None:
        """The recipe that was made for a model of the Hub."""
        names = [name for name in self.usable if self._is_a_models(name)]
        return next((name for name in names if self.usable[name].base_model.id == id), None)

    def _papers(self) -> list[Row]:
        rows = []
        for name in OF_PAPERS:
            if name in self.usable and not self.presets.is_own(name):
                recipe = self.usable[name]
                on_starter = recipe.base_model.source == "starter"
                title = f"{recipe.method.title()} · Pennywick starter" if on_starter else recipe.name
                rows.append(self._recipe(name, title, PAPERS))
        return rows

    def _mine(self) -> list[Row]:
        own = [name for name in self.usable if self.presets.is_own(name)]
        broken = [_broken(name, MINE, problem) for name, problem in self.broken.items()]
        return [*(self._recipe(name, name, MINE) for name in own), *broken]

    # ---- a row

    def _model(self, model: ModelChoice, title: str, note: str, kind: str, shapes: Shapes | None = None) -> Row:
        recipe = suggested(model, DatasetChoice())
        return self._row(
            recipe, shapes or sizes_of(model), key=f"{MODEL_ROW}{model_value(model)}", title=title, note=note, kind=kind
        )

    def _recipe(self, name: str, title: str, kind: str) -> Row:
        recipe = self.usable[name]
        model = recipe.base_model.title if kind == MINE else ""
        note = " ".join(filter(None, [f"{model}." if model else "", recipe.note]))
        return self._row(
            recipe, sizes_of(recipe.base_model), key=f"{RECIPE_ROW}{name}", title=title, note=note, kind=kind
        )

    def _row(self, recipe: Recipe, shapes: Shapes | None, key: str, title: str, note: str, kind: str) -> Row:
        model = recipe.base_model
        level, figures = verdict(recipe, shapes, self.machine)
        parameters = shapes.parameters if shapes else 0
        seconds = self.time_of(recipe, shapes) if level in ENOUGH and kind in (CHAT, LABELS, TEXT) else None
        return Row(
            key=key,
            title=title,
            kind=kind,
            facts=facts_of(model, parameters),
            download="" if model.id in [one.id for one in self.kept] else download_of(model),
            level=level,
            fit=self._fit(recipe, level, parameters),
            figures=figures,
            time=f"about {about(seconds)}" if seconds else "",
            note=note,
            id=model.id if model.source == "hub" else "",
            is_written=model.source == "folder" or kind == MINE,
            parameters=parameters,
        )

    def _fit(self, recipe: Recipe, level: str, parameters: int) -> str:
        """Whether it fits in a few words; where it does not, what would be needed."""
        if level == "too large":
            card = smallest_card(recipe)
            return f"too large here, GPU from {card} GB" if card else "too large here, several GPUs"
        if level and self.machine.kind == "cpu" and parameters >= SLOW_FROM:
            return f"{FIT_WORDS[level]}, slow without a GPU"
        return FIT_WORDS[level]


def _broken(title: str, kind: str, problem: Problem) -> Row:
    return Row(key="", title=title, kind=kind, is_written=True, problem=problem)


def facts_of(model: ModelChoice, parameters: int) -> tuple[str, ...]:
    """What is known of a model without asking anybody: its size and its licence."""
    if model.source == "starter":
        return millions(parameters), STARTER_SIZE
    known = known_models().get(model.id, {}) if model.source == "hub" else {}
    size_words = millions(parameters) if parameters else ""
    asks = "ask for access" if known.get("gated") else ""
    return tuple(filter(None, [size_words, known.get("licence", ""), asks]))


def download_of(model: ModelChoice) -> str:
    """How much of a known model of the Hub there is to download; empty where that is not known."""
    known = known_models().get(model.id) if model.source == "hub" else None
    return size(known["parameters"] * WIDE[known["weights"]]) if known else ""


def fit_words(recipe: Recipe, shapes: Shapes | None, machine: Machine) -> tuple[str, str]:
    """("fits", "tight", "too large" or "", what the card of the chosen model says): short where all is well."""
    level, sentence = verdict(recipe, shapes, machine)
    if level != "fits" or shapes is None:
        return level, sentence
    needs = gigabytes(needed_here(recipe, shapes, machine).total)
    return level, f"Fits: training needs about {needs}; this machine has {gigabytes(machine.total)}."


def _kind_of(config: dict) -> str:
    """The chip under which a model with this config is found."""
    first = next(iter(tasks_of(config)), "chat") if config else "chat"
    return {"chat": CHAT, "text_to_text": TEXT}.get(first, LABELS)


def _kind_of_known(id: str) -> str:
    kind = family_named(known_models()[id]["model_type"]).kind
    return {"encoder": LABELS, "encoder-decoder": TEXT}.get(kind, CHAT)


def chosen_row(key: str) -> tuple[str, str]:
    """("model", "recipe" or "plan", its value or name) of what choosing a row sent. Raises UserError for anything
    else.
    """
    for start, what in ((MODEL_ROW, "model"), (RECIPE_ROW, "recipe"), (PLAN_ROW, "plan")):
        if key.startswith(start):
            return what, key.removeprefix(start)
    raise UserError("model.no_row", "There is no such model in the list. Open the list again.")
