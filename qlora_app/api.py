"""From Python, in a script or a notebook, what the page and the commands do:

    import qlora_app

    run = qlora_app.train("starter", {"training.epochs": 1})    # a preset, a file, a model; then settings by name
    run.wait()                                                  # trains in a process of its own meanwhile
    run.metrics()                                               # [{"step": 1, "loss": 2.87, ...}, ...]
    run.ask("Who is Oscar?")
    sweep = qlora_app.sweep("starter", {"method.rank": [8, 16], "training.learning_rate": "1e-4, 3e-4"})
    sweep.wait().best().adapter

Everything lies in the home of this installation (QLORA_APP_HOME), where the page shows it too. What a person can mend
is raised as a UserError.
"""

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .effort import expected_seconds
from .errors import UserError
from .evaluate import Evaluation, Judge
from .evaluate.decoding import AnswerDecoding
from .inference.pool import ModelPool
from .jobs import Job, Status
from .kinds.evaluate import evaluate_job, evaluation_of, spec_from
from .kinds.judging import judgeable
from .kinds.merge import equal_parts, merge_job, merge_spec, merged
from .launch import places
from .launch.engines import asked_about
from .launch.prices import price_of_all, price_words
from .launch.queue import working
from .overrides import as_typed, recipe_from, with_changes
from .place import Place
from .planner import planned
from .preflight import ready
from .recipe import Recipe
from .runs import Run as TrainingJob
from .runs import RunStore
from .runs.comparison import differing_settings, standings
from .runs.extending import extended
from .runs.finding import find_run
from .runs.merges import merge_of
from .runs.moved import shared_by
from .runs.recipes import recipe_of
from .settings import Settings
from .sweep import Halving, Sweeps, checked, plan_of
from .sweep import Sweep as RunsOfSweep

LOOK_EVERY = 0.3  # seconds
Changes = Mapping[str, Any]


def train(recipe: str | Path | Recipe = "starter", settings: Changes | None = None, **named: Any) -> "Run":
    """Begin a training in a process of its own, and return its run at once.

    recipe: a preset, the path of a recipe, a model's id or folder, or a Recipe. settings: {dotted name: value};
    `named` may give them too, with two underscores for the dot (training__epochs=1). A data file is named by its path
    (dataset.id). At a place that has prices it prints what it will cost. Raises UserError with every mistake at once.
    """
    here = _settings()
    here.make_home()
    store, known = RunStore(here.runs), ready(_recipe(recipe, settings, named), here)
    if known.recipe.launch.where == "hf_jobs":
        print(price_words(known.recipe.launch, here, expected_seconds(known.recipe, store, here.data)))
    run = store.create(known.recipe)
    places.start(run)
    return Run(run)


def plan(recipe: str | Path | Recipe = "starter", settings: Changes | None = None, **named: Any) -> dict[str, Any]:
    """Whether a training fits this machine, and how it would: {fit: "fits", "tight", "too large" or "", sentence, plan:
    a sentence, ways: [{way, sentence, settings: {dotted name: value}, seconds: [least, most] or None, by}]}, the one to
    take first. Its `settings` go into `train` beside those given here. Raises UserError with every mistake at once.
    """
    asked = _recipe(recipe, settings, named)
    return planned(asked, _settings()).to_json(asked)


def runs() -> "list[Run]":
    """All runs, newest first."""
    return [Run(run) for run in RunStore(_settings().runs).list()]


def run(name: str = "latest") -> "Run":
    """A run by its name, the beginning of it, or "latest". Raises UserError where there is none, or several."""
    return Run(find_run(name, RunStore(_settings().runs)))


def ask(question: str, name: str = "latest", base: bool = False) -> str:
    """What a run answers; `base`: what its base says without the adapter."""
    answered = _with_adapter(name).ask(question, base)
    assert isinstance(answered, str)
    return answered


def compare(*named: "str | Run") -> dict[str, Any]:
    """{"runs": how each stands, and whether the best is better by more than chance, "settings": {name: {run: value}} of
    those that differ}.
    """
    store = RunStore(_settings().runs)
    jobs = [one.job if isinstance(one, Run) else find_run(one, store) for one in named]
    recipes = [recipe for job in jobs if (recipe := recipe_of(job)) is not None]
    differing = differing_settings(recipes) if len(recipes) == len(jobs) else []
    settings = {one.name: dict(zip((job.id for job in jobs), one.values, strict=True)) for one in differing}
    return {"runs": [one.to_json() for one in standings(jobs)], "settings": settings}


def evaluate(
    *contestants: "str | Run",
    questions: str | Path | None = None,
    by: str | Sequence[str] = "exact_match",
    limit: int | None = None,
    max_new_tokens: int = 256,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    wait: bool = True,
) -> "Evaluation | str":
    """Ask several models the same questions and measure their answers, in a process of its own.

    contestants: runs, "RUN@STEP", "base:RUN", "endpoint:NAME", "file:PATH". questions: a file, "held_out:RUN",
    "vicuna", "general", "mmlu:FOLDER"; those held out by the first run where none are named. by: evaluators, each with
    at most one setting behind a colon ("regex:pattern=^[0-9]+$"). Returns the Evaluation, or without `wait` the id of
    the job, which goes on. Raises UserError, also where it fails.
    """
    here = _settings()
    here.make_home()
    words = [one.id if isinstance(one, Run) else one for one in contestants]
    how = AnswerDecoding(max_new_tokens=max_new_tokens, temperature=temperature, top_p=top_p, seed=seed)
    measures = [by] if isinstance(by, str) else by
    job = evaluate_job(here, spec_from(words, here, questions, measures, limit, how))
    places.start(job)
    if not wait:
        return job.id
    status = _ended(job)
    found = evaluation_of(job)
    if status.state != "done" or found is None:
        raise UserError("evaluate.failed", "{why}", why=status.sentence)
    return found


def merge(
    *runs: "str | Run",
    weights: Sequence[float] | None = None,
    name: str = "",
    questions: int = 100,
    **how: Any,
) -> "Run":
    """Make the adapters of several runs of one base into one, wait, and return the run that came of it.

    weights: one for each; equal ones that make 1 together where none are given. how: PEFT's words for it
    (by="ties_svd", density=0.5, rank=16, majority_sign_method="total", seed=0); the exact sum ("cat") where none are
    said. questions: held-out ones of each run that are asked afterwards; `run.merge()` has what came of that. Raises
    UserError with all that speaks against it.
    """
    here = _settings()
    here.make_home()
    named = [one.id if isinstance(one, Run) else run(one).id for one in runs]
    job = merge_job(merge_spec(equal_parts(named, weights), how, name, questions), here)
    places.start(job)
    status = _ended(job)
    made = merged(job)
    if status.state != "done" or made is None:
        raise _ended_badly(job.id, status)
    return run(made)


def ratings(
    judgments: str | Path | Sequence[Mapping[str, Any]], *, k: float = 32.0, orderings: int = 10_000, seed: int = 0
) -> dict[str, Any]:
    """{"elo": {model: rating}, "bradley_terry": {model: {"rating", "low", "high"}}, ...} of a file of judgments, or of
    rows with question, model_a, model_b, winner (a, b or tie) and rater. Raises UserError.
    """
    from .evaluate.ratings import Judgments, judgments_of, rate, read_judgments  # numpy is imported with it

    if isinstance(judgments, str | Path):
        judged = read_judgments(Path(judgments))
    else:
        judged = Judgments([one for row in judgments for one in judgments_of(row)])
    return rate(judged, k=k, orderings=orderings, seed=seed).to_json()


def sweep(
    recipe: str | Path | Recipe,
    values: Mapping[str, str | Sequence[Any]],
    settings: Changes | None = None,
    *,
    sample: int = 0,
    seed: int = 0,
    halving: float | None = None,
    when: Sequence[float] = (0.25, 0.5),
    **named: Any,
) -> "Sweep":
    """Queue every combination of several values, or a `sample` of them; `wait` works them off.

    values: {dotted name: a list, or a text as typed: "8..64 step 8", "1e-5..1e-3 log 5"}. halving: the share that goes
    on at each share of the steps in `when`; None: all run to their end. The rest as of `train`. Raises UserError.
    """
    here = _settings()
    here.make_home()
    plan = checked(plan_of(_recipe(recipe, settings, named), values, sample, seed), here)
    _say_price([member.recipe.launch for member in plan.members])
    rule = None if halving is None else Halving(keep=halving, when=tuple(when))
    return Sweep(Sweeps(here.sweeps, RunStore(here.runs)).start(plan, rule))


def judge(
    what: str | Path | Sequence[str | Path],
    endpoint: str = "",
    *,
    questions: str = "",
    agree: Callable[[str], bool] | None = None,
    **named: Any,
) -> dict[str, Any]:
    """Have a model behind an endpoint judge the answers of an evaluation, by its name, or of several files; wait, and
    return {"evaluation", "folder", "contestants", "measures", ...} as `evaluate` does.

    endpoint: its name in QLORA_APP_ENDPOINTS. named: settings of the judge (way="single", prompt, price_in, price_out,
    most_money, most_calls, against). agree: hears calls and price in a sentence, and says whether to start; without it
    nothing holds it up but the budget. Raises UserError.
    """
    here = _settings()
    with judgeable([what] if isinstance(what, str | Path) else what, questions, here) as found:
        chosen = Judge(endpoint=endpoint, **named)
        _, estimate = found.with_judge(chosen, here)
        if agree is not None and not agree(str(estimate.sentence)):
            return {}
        job = found.job(chosen, here)
    places.start(job)
    status = _ended(job)
    made = evaluation_of(job)
    if status.state != "done" or made is None:
        raise _ended_badly(job.id, status)
    return {"evaluation": job.id, "folder": str(job.folder), **made.to_json()}


def _ended(job: Job) -> Status:
    """How it has ended, when it has."""
    while not (status := job.status()).has_ended:
        time.sleep(LOOK_EVERY)
    return status


def _ended_badly(id: str, status: Status) -> UserError:
    return UserError("run.ended_badly", "{id} is {state}. {why}", id=id, state=status.state, why=status.sentence)


class Run:
    """One run. What is read of it is as its folder has it now."""

    def __init__(self, job: TrainingJob) -> None:
        self.job = job

    def __repr__(self) -> str:
        status = self.job.status()
        return f"<Run {self.id}: {status.state}, step {status.step:,} of {status.total:,}>"

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def state(self) -> str:
        """queued, starting, running, stopping, done, stopped, failed or interrupted."""
        return self.job.status().state

    @property
    def recipe(self) -> Recipe:
        return self.job.recipe()

    @property
    def adapter(self) -> Path:
        """The folder to use elsewhere: the finished adapter, or that of the newest checkpoint. Raises UserError."""
        folder = self.job.newest_adapter()
        if folder is None:
            raise UserError("run.no_adapter_yet", "{id} has saved no adapter yet.", id=self.id)
        return folder

    def wait(self, seconds: float | None = None) -> "Run":
        """Until it has ended, or so many seconds have passed; returns itself. Raises UserError where it failed."""
        end = None if seconds is None else time.monotonic() + seconds
        with asked_about(self.job):
            while not (status := self.job.status()).has_ended:
                if end is not None and time.monotonic() >= end:
                    return self
                time.sleep(LOOK_EVERY)
        if status.state in ("failed", "interrupted"):
            raise _ended_badly(self.id, status)
        return self

    def metrics(self) -> list[dict[str, Any]]:
        """A row for each logged step: loss, learning_rate, grad_norm, ...; held_out_loss where that was measured."""
        return [dict(row) for row in self.job.metrics()[0]]

    def samples(self) -> list[dict[str, Any]]:
        """What it answered to the sample questions before, during and after: {step, question, answer, ...}."""
        return [dict(row) for row in self.job.samples()]

    def proof(self) -> dict[str, Any] | None:
        """What was measured when it ended; None before."""
        return self.job.proof()

    def merge(self) -> dict[str, Any] | None:
        """What it was merged of, how, and how far it answers as each of them; None for a run that was not."""
        made = merge_of(self.job)
        return made.to_json() if made else None

    def ask(self, question: str | Sequence[str], base: bool = False) -> str | list[str]:
        """Its likeliest answer, to each of several questions where several are asked; `base`: without the adapter."""
        session = _sessions().get(self.job)
        questions = [question] if isinstance(question, str) else list(question)
        if session.task.is_chat:
            asked = [session.as_trained([{"role": "user", "content": one}]) for one in questions]
            answers = session.answer_all(asked, base)
        else:
            answers = [session.respond(one, base) for one in questions]
        return answers[0] if isinstance(question, str) else answers

    def stop(self, now: bool = False) -> None:
        """After this step, saved; `now`: without saving."""
        self.job.request("stop-now" if now else "stop")

    def resume(self, processes: int | None = None, nodes: int | None = None) -> "Run":
        """Go on from the newest checkpoint; returns itself at once. processes: so many of so many nodes share each step
        from here on; 0: one for each GPU. Raises UserError where it has not stopped, or this machine has not so many.
        """
        self.job.check_resumable()
        if (processes, nodes) != (None, None):
            shared_by(self.job, processes, nodes)
        _say_price([self.job.place()])
        self.job.forget_stop()
        places.start(self.job)
        return self

    def extend(self, epochs: float = 0.0, steps: int = 0) -> "Run":
        """Another run that goes on where this one ended, for so many epochs or steps; it begins at once."""
        here = _settings()
        longer = extended(self.job, RunStore(here.runs), here, epochs, steps)
        _say_price([longer.place()])
        places.start(longer)
        return Run(longer)


class Sweep:
    """Runs that belong together."""

    def __init__(self, job: RunsOfSweep) -> None:
        self.job = job

    def __repr__(self) -> str:
        return f"<Sweep {self.job.id}: {len(self.job.members())} runs>"

    def wait(self) -> "Sweep":
        """Work them off, unless an open page does, until all have ended; returns itself."""
        here = _settings()
        with working(here, RunStore(here.runs)):
            while not self.job.has_ended():
                time.sleep(LOOK_EVERY)
        return self

    def runs(self) -> list[Run]:
        """In the order in which they were queued."""
        return [Run(run) for run in self.job.runs()]

    def ranked(self) -> list[dict[str, Any]]:
        """The best first: {place, run, values, state, held_out_loss, exact_match, stopped_by_sweep}."""
        return [one.to_json() for one in self.job.ranked()]

    def best(self) -> Run:
        """Raises UserError where none was measured."""
        first = self.job.ranked()[0]
        if not first.place:
            raise UserError("sweep.none_measured", "None of these runs has ended with a measurement yet.")
        return run(first.run)

    def stop(self) -> None:
        """What waits leaves the queue; what trains is saved and ends."""
        self.job.stop()


def _say_price(begun_at: Sequence[Place]) -> None:
    if price := price_of_all(begun_at, _settings()):
        print(price)


def _settings() -> Settings:
    return Settings.from_environment()


def _recipe(recipe: str | Path | Recipe, settings: Changes | None, named: Mapping[str, Any]) -> Recipe:
    changes = dict(settings or {})
    changes |= {name.replace("__", "."): value for name, value in named.items()}
    if isinstance(recipe, Recipe):
        return with_changes(recipe, changes)
    return recipe_from(str(recipe), _assignments(changes), _settings())


def _assignments(changes: Changes) -> list[str]:
    """As a command writes them; a list gives one for each member."""
    found = []
    for name, value in changes.items():
        members = value if isinstance(value, list | tuple) else [value]
        found += [f"{name}={as_typed(member)}" for member in members or [""]]
    return found


def _with_adapter(name: str) -> Run:
    return Run(find_run(name, RunStore(_settings().runs), with_adapter=True))


@functools.cache
def _sessions() -> ModelPool:
    """The one model that answers."""
    return ModelPool()
