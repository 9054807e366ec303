"""Which models are in memory: loaded in the background, one base for all its adapters, given back when they are not
used or when something else needs the machine.
"""

import logging
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from ..base_models import ModelChoice, fingerprint, folder_of
from ..base_models.loading import bytes_of, import_everything
from ..base_models.telling import weights_told
from ..errors import UserError
from ..formatting import gigabytes, size
from ..hardware import here
from ..jobs import Job
from ..methods import MethodChoices
from ..methods.fitting import check_saved
from ..runs import Run
from ..runs.exports import identical_gguf, last_export
from ..storage.outside import lies_in_own
from ..tasks import Task
from ..tasks.generate import context_of
from ..tasks.trial import check_tried
from . import llama_cpp
from .engine import MOST_ROWS
from .loaded import LoadedBase, checksum, give_memory_back
from .session import ChatSession

UNLOAD_AFTER = 15 * 60.0  # seconds without a question
LOOK_EVERY = 5.0
MOST_SESSIONS = 16  # adapters that stay on their bases
SHORT = 0.25  # of all memory
ROOM = 1.2  # times the weights: what a model needs of memory to answer

log = logging.getLogger(__name__)
State = Literal["absent", "waiting", "loading", "ready", "failed"]
Why = Literal["idle", "training", "memory"]
GIVEN_BACK: dict[Why, str] = {
    "idle": "The model was not asked for a while and has left the memory.",
    "training": "The model has made way for a training.",
    "memory": "The model has made way for another one.",
}


class Loading(NamedTuple):
    """Is a run's model in memory? sentence: why it is not, or how far that is."""

    state: State
    sentence: str = ""


@dataclass
class _Progress:
    """Of a model that is being loaded."""

    bytes: float = 0.0
    began: float = 0.0  # 0: not yet
    waits: bool = False  # for memory that a training has
    share: float | None = None  # of its weights that are there

    def tell(self, done: int, total: int) -> None:
        self.share = done / total if total else None

    def words(self) -> Loading:
        needed, free = size(self.bytes), gigabytes(here().free)
        if self.waits:
            return Loading(
                "waiting",
                f"A training has the memory: the model needs {needed}, and {free} are free. You are answered when "
                "there is room.",
            )
        if not self.began:
            return Loading("loading", "Loading the model…")
        took = f"{time.monotonic() - self.began:.0f} s"
        if self.share is None:
            return Loading("loading", f"Loading the model… {needed}, {took}")
        return Loading("loading", f"Loading the model… {self.share:.0%} of {needed}, {took}")


class _Key(NamedTuple):
    """A run's adapter as its files are now."""

    adapter: str
    written: int
    exported: int  # when something was made of it last


@dataclass(frozen=True)
class _Wanted:
    """What is to be loaded."""

    choice: ModelChoice
    method: MethodChoices
    adapter: Path
    task: Task

    @property
    def quantizes(self) -> bool:
        return not self.method.quantizes_itself

    def base(self) -> tuple[str, ...]:
        """The same for all that can stand on one base in memory.

        Embeddings that learned whole would keep the rows of other adapters there from being mixed.
        """
        own = str(self.method.learns_embeddings)
        if not self.method.stands_beside:
            own = f"{self.adapter} {checksum(self.adapter)}"
        weights = fingerprint(folder_of(self.choice))
        choice = self.choice.model_dump_json()
        return choice, weights, self.task.auto_class, repr(self.task.labels), str(self.quantizes), own


class ModelPool:
    """The models that answer. `get` a run's session and ask it; it may be held, and works also when it was unloaded.

    The state of a run's model can be asked for while it loads:

        pool.load(run)                 # in the background
        pool.state(run).state          # "loading", then "ready" or "failed" with a sentence
        session = pool.get(run)        # waits until it is there
    """

    def __init__(self, is_guarded: bool = False, unload_after: float = UNLOAD_AFTER) -> None:
        """is_guarded: others go on living in this process, so that a folder must not hold it up or fill it."""
        self._is_guarded, self._unload_after = is_guarded, unload_after
        self._changing = threading.Lock()
        self._one_at_a_time = threading.Lock()
        self._sessions: OrderedDict[_Key, Future[ChatSession]] = OrderedDict()
        self._bases: OrderedDict[tuple[str, ...], LoadedBase] = OrderedDict()  # the one asked last at the end
        self._jobs: Sequence[Job] = ()  # that wait or are worked on, at the last look
        self._is_shared = False  # is the processor that answers trained on?
        self._progress: dict[_Key, _Progress] = {}
        self._given_back: dict[_Key, Why] = {}
        self._keeper: threading.Thread | None = None

    # ---- what is asked of it

    def get(self, run: Run, step: int | None = None) -> ChatSession:
        """Waits until it is loaded. step: of a checkpoint; None for the newest adapter.

        Raises UserError while the run has nothing to chat with, or why it cannot be.
        """
        return self._opening(run, step).result()

    def load(self, run: Run, step: int | None = None) -> None:
        """Begin in the background. Raises UserError while the run has nothing to chat with."""
        self._opening(run, step)

    def state(self, run: Run, step: int | None = None) -> Loading:
        """How far that is."""
        adapter = run.adapter_at(step)
        if adapter is None:
            return Loading("absent")
        key = _key(adapter)
        with self._changing:
            opening, progress = self._sessions.get(key), self._progress.get(key)
            why = self._given_back.get(key)
        if opening is None:
            return Loading("absent", GIVEN_BACK[why] if why else "")
        if not opening.done():
            return (progress or _Progress()).words()
        error = opening.exception()
        return Loading("failed", str(error)) if error else Loading("ready")

    def loaded(self) -> int:
        """How many base models are held."""
        with self._changing:
            return len(self._bases)

    def make_way(self) -> None:
        """Give back what is not being used at this moment."""
        self._unload(lambda base: True, "training")

    def give_way(self, jobs: Sequence[Job]) -> None:
        """Told what waits or is worked on: to one that has come, whatever is idle gives up the accelerator, or memory
        that is short. What is asked after that is loaded again. Where it is worked on by the processor that answers,
        answers leave it more than three quarters of that.
        """
        come = {job.folder for job in jobs} - {job.folder for job in self._jobs}
        self._jobs = jobs
        self._is_shared = here().kind == "cpu" and any(job.is_alive() for job in jobs)
        if come and self._bases and (here().kind != "cpu" or here().free < SHORT * here().total):
            self.make_way()

    # ---- loading

    def _opening(self, run: Run, step: int | None) -> "Future[ChatSession]":
        adapter = run.adapter_at(step)
        if adapter is None and step is not None:
            raise UserError(
                "run.no_such_checkpoint",
                "{run} has no checkpoint of step {step}. It has: {steps}.",
                run=run.id,
                step=step,
                steps=", ".join(map(str, run.saved_steps())) or "none",
            )
        if adapter is None:
            raise UserError(
                "run.no_checkpoint_to_chat",
                "This run has saved nothing yet. Its first checkpoint comes soon; then you can chat with it.",
            )
        key = _key(adapter)
        with self._changing:
            known = self._sessions.get(key)
            if known is None or (known.done() and known.exception()):  # what was wrong may have been repaired
                known = Future()
                how = (run, adapter, known)
                # What somebody made is opened as they may; what is shared with them as its owner may.
                context = copy_context() if lies_in_own(run.folder) else Context()
                threading.Thread(target=context.run, args=(self._load, *how), name="loading", daemon=True).start()
                self._sessions[key] = known  # only now: nobody may wait for a thread that was not started
            self._sessions.move_to_end(key)
            while len(self._sessions) > MOST_SESSIONS:
                self._sessions.popitem(last=False)
            return known

    def _load(self, run: Run, adapter: Path, opening: "Future[ChatSession]") -> None:
        key = _key(adapter)
        progress = self._progress[key] = _Progress()
        try:
            with self._one_at_a_time:
                import_everything()
                run.check_base()
                self._check_folders(run, adapter)
                check_saved(adapter)  # before the weights of the base are loaded for nothing
                wanted = _Wanted(run.base_model(), run.recipe().method, adapter, run.task())
            self._wait_for_room(progress, wanted)
            with self._one_at_a_time:
                progress.began = time.monotonic()
                session = self._opened(wanted, progress)
                if adapter == run.adapter:
                    _speed_up(session, run)
            opening.set_result(session)
        except BaseException as error:  # whoever waits for it hears of it
            if not isinstance(error, UserError):
                log.warning("A model could not be loaded: %s", adapter, exc_info=error)
            _drop_tracebacks(error)
            opening.set_exception(error)
        finally:
            with self._changing:
                self._progress.pop(key, None)
                self._given_back.pop(key, None)

    def _check_folders(self, run: Run, adapter: Path) -> None:
        """Where a page answers: what came from elsewhere is tried before this process opens it. Raises UserError."""
        if self._is_guarded:
            check_tried(folder_of(run.base_model()))
            if run.read_recipe().recipe.base_model.source != "starter":
                check_tried(adapter)

    def _opened(self, wanted: _Wanted, progress: _Progress) -> ChatSession:
        name = wanted.base()
        with self._changing:
            base = self._bases.get(name)
        if base is None:
            self._make_room(bytes_of(wanted.choice, wanted.quantizes))
            with weights_told(progress.tell):
                base = LoadedBase.open(wanted.choice, wanted.task, wanted.quantizes)
            base.engine.shares = lambda: self._is_shared
        try:
            session = ChatSession.on(base, wanted.choice, wanted.method, wanted.adapter, wanted.task)
        except BaseException:
            base.engine.rest()  # its thread holds what nobody else may
            raise
        with self._changing:
            self._bases[name] = base
            self._bases.move_to_end(name)
            self._keep_watch()
        return session

    def _wait_for_room(self, progress: _Progress, wanted: _Wanted) -> None:
        """While a training has the memory that a model needs which is not there yet."""
        progress.bytes = bytes_of(wanted.choice, wanted.quantizes)
        name = wanted.base()
        while name not in self._bases and any(job.is_alive() for job in self._jobs):
            self._make_room(progress.bytes)
            progress.waits = here().free < ROOM * progress.bytes
            if not progress.waits:
                break
            time.sleep(LOOK_EVERY)
        progress.waits = False

    # ---- unloading

    def _make_room(self, needed: float) -> None:
        """Models that nobody is asking make room for one that is wanted, those first that were not asked for longest.

        Several stay where the machine has room for them.
        """
        give_memory_back()  # of one whose adapter did not fit, too
        while here().free < ROOM * needed and self._unload(lambda base: True, "memory", most=1):
            pass

    def _unload(self, is_due: Callable[[LoadedBase], bool], why: Why, most: int | None = None) -> int:
        """Those that are due and are not being used. Returns how many that were."""
        with self._changing:
            idle = [name for name, base in self._bases.items() if not base.is_busy and is_due(base)]
            bases = [self._bases.pop(name) for name in idle[:most]]
            for key, opening in list(self._sessions.items()):
                if opening.done() and not opening.exception() and opening.result().base in bases:
                    del self._sessions[key]
                    self._given_back[key] = why
        _close(bases)
        return len(bases)

    def _keep_watch(self) -> None:
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=_watch, args=(weakref.ref(self),), name="unloading", daemon=True)
            self._keeper.start()

    def _look(self) -> bool:
        """Unload what was not used for a while. Is anything left?"""
        self._unload(lambda base: time.monotonic() - base.used > self._unload_after, "idle")
        with self._changing:
            if not self._bases:
                self._keeper = None
            return bool(self._bases)


def _speed_up(session: ChatSession, run: Run) -> None:
    """Without a GPU llama.cpp answers in its place, where a GGUF of the adapter answered everything as it does."""
    if session.name in session.base.fast or here().kind != "cpu" or not llama_cpp.is_installed():
        return
    file = identical_gguf(run)
    if file is None or here().free < ROOM * file.stat().st_size:
        return
    tokens = min(llama_cpp.TOKENS, MOST_ROWS * (context_of(session.model) or llama_cpp.TOKENS))
    try:
        engine = llama_cpp.LlamaCpp(file, tokens)
    except UserError as error:  # nothing is lost but time
        log.warning("%s", error)
        return
    engine.letters = llama_cpp.Letters.of(session.tokenizer)
    session.base.fast[session.name] = engine


def _watch(pool: "weakref.ref[ModelPool]") -> None:
    """Until nothing is loaded any more, or the pool is gone."""
    while True:
        time.sleep(LOOK_EVERY)
        watched = pool()
        if watched is None or not watched._look():
            return
        del watched


def _close(bases: list[LoadedBase]) -> None:
    for base in bases:
        base.close()
    if bases:
        bases.clear()
        give_memory_back()


def _drop_tracebacks(error: BaseException | None) -> None:
    """Of an error that is kept, and of what led to it: their frames would keep what was loaded in memory."""
    if error is not None and error.__traceback__ is not None:
        error.__traceback__ = None
        _drop_tracebacks(error.__cause__)
        _drop_tracebacks(error.__context__)


def _key(adapter: Path) -> _Key:
    """When its weights were written; 0 where there are none, which is said when it is opened."""
    try:
        written = (adapter / "adapter_model.safetensors").stat().st_mtime_ns
    except OSError:
        written = 0
    return _Key(str(adapter), written, last_export(adapter.parent))


def warm_up() -> None:
    """Import what chatting needs, ahead of the first question."""
    import_everything()
