"""What metrics.jsonl gets is told one of Trainer's own integrations too, from a thread of its own: training never waits
for another program, and whatever goes wrong there is a sentence in the run's events.
"""

import copy
import functools
import importlib
import json
import os
import queue
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any
from uuid import uuid4

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.integrations import TensorBoardCallback, TrackioCallback, WandbCallback

from ..errors import Problem
from ..reporting import Reporting
from ..runs import RunWriter
from ..runs.reported import REPORTED, folder_of, kept_of
from ..runs.rows import MetricRow
from ..settings import Settings

REACHED_WITHIN = 10  # seconds
SENT_WITHIN = 20  # seconds after the run's end
LEFT_OUT = ("step", "seconds")
OF_DATA = ("id2label", "label2id")  # in a model's config: labels are words of the data
NEVER_SENT = {"WANDB_LOG_MODEL": "false", "WANDB_WATCH": "false"}  # weights and gradients, whatever the machine says
Integration = Callable[["Reports"], TrainerCallback]


class _Config:
    """How a model is built, as integrations ask for it, without the labels of its data."""

    def __init__(self, config: Any) -> None:
        text = config.to_json_string(use_diff=False)
        self.known: dict[str, Any] = json.loads(text, object_hook=_without_labels)

    def to_dict(self) -> dict[str, Any]:
        return dict(self.known)

    def to_json_string(self) -> str:
        return json.dumps(self.known, indent=2)


class _Described:
    """What is told of a model. It holds no weights, which must be let go while another program hangs."""

    def __init__(self, model: Any) -> None:
        self.config, self.peft_config = _Config(model.config), getattr(model, "peft_config", None)
        self.parameters: int = model.num_parameters()

    def num_parameters(self) -> int:
        return self.parameters


def _without_labels(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in OF_DATA}


class Reports(TrainerCallback):
    """One run, told to another program. Everything that asks that program is done in order by one thread."""

    def __init__(self, out: RunWriter, reporting: Reporting, first_step: int, note: Callable[[Problem], None]) -> None:
        """first_step: what was told of later ones is told again. note: hears what went wrong."""
        self.out, self.run, self.reporting, self.first_step, self.note = out, out.run, reporting, first_step, note
        self.kept = kept_of(out.run, reporting.report_to)
        self._to_do: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="reports", daemon=True)
        self._told: TrainerCallback | None = None
        self._is_closed = False
        self._asked: dict[str, Any] = {}

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        try:
            described = _Described(model)
        except Exception as error:  # a model of an odd kind is no reason not to train it
            self._failed(error)
            return
        self._asked = {"args": args, "state": copy.copy(state), "control": copy.copy(control), "model": described}
        self._to_do.put(self._begin)
        self._thread.start()

    def add(self, row: MetricRow) -> None:
        """A line of metrics.jsonl; of no interest any more once something went wrong."""
        if self._thread.is_alive():
            self._to_do.put(functools.partial(self._tell, row))

    def close(self) -> None:
        """Nothing more comes. What is not sent soon is given up; what is kept here is complete. Once is enough."""
        if self._is_closed:
            return
        self._is_closed = True
        self._to_do.put(self._end)
        self._to_do.put(None)
        if self._thread.is_alive():
            self._thread.join(SENT_WITHIN)

    def keep(self, url: str = "") -> None:
        """Where it can be looked at from now on."""
        self.kept = replace(self.kept, id=self.kept.id or uuid4().hex, url=url)
        self.out.write(REPORTED, asdict(self.kept))

    def _work(self) -> None:
        try:
            while (do := self._to_do.get()) is not None:
                do()
        except Exception as error:  # whatever another program raises, the training goes on without it
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.note(
            Problem(
                "reporting.failed",
                "{title} could not be told: {reason}. The training goes on without it.",
                title=self.reporting.title,
                reason=" ".join(str(error).split()) or type(error).__name__,
            )
        )

    def _begin(self) -> None:
        self._told = INTEGRATIONS[self.reporting.report_to](self)
        self._told.on_train_begin(**self._asked)

    def _tell(self, row: MetricRow) -> None:
        assert self._told is not None
        state = copy.copy(self._asked["state"])
        state.global_step = row["step"]
        self._told.on_log(**self._asked | {"state": state}, logs=in_their_words(row))

    def _end(self) -> None:
        if self._told is not None:
            self._told.on_train_end(**self._asked)


def in_their_words(row: MetricRow) -> dict[str, Any]:
    """A line of metrics.jsonl by Trainer's names: what is held out begins with `eval_`."""
    named = {_theirs(name): value for name, value in row.items() if name not in LEFT_OUT}
    return {name: value for name, value in named.items() if value is not None}


def _theirs(name: str) -> str:
    """ "held_out_rewards_margins" -> "eval_rewards/margins", as TRL has it."""
    return name.replace("held_out_", "eval_", 1).replace("rewards_", "rewards/", 1)


def _tensorboard(reports: Reports) -> TrainerCallback:
    writer = importlib.import_module("torch.utils.tensorboard").SummaryWriter
    folder = folder_of(reports.run)
    # From the first step on the base is measured again too, which stands at step 0.
    again = reports.first_step + 1 if reports.first_step else 0
    reports.keep()
    is_told = any(folder.glob("events.*"))
    return TensorBoardCallback(writer(log_dir=str(folder), purge_step=again if is_told else None))


def _trackio(reports: Reports) -> TrainerCallback:
    reports.keep()
    return TrackioCallback()


def _wandb(reports: Reports) -> TrainerCallback:
    """Begun here, since the integration goes on with a run that is there: offline where nobody can be reached."""
    os.environ.update(NEVER_SENT)  # of this worker alone
    wandb = importlib.import_module("wandb")
    reports.keep()
    key = Settings.from_environment().wandb_key
    if key is not None:
        try:
            _begin_wandb(wandb, reports, "online", key.get_secret_value())
        except (wandb.errors.CommError, wandb.errors.UsageError) as error:  # the latter: a key of an odd form
            reports.note(
                Problem(
                    "reporting.not_reached",
                    "Weights & Biases cannot be reached ({reason}). What it would be told is kept in the run's folder.",
                    reason=str(error).partition("\n")[0],
                )
            )
            reports.kept = replace(reports.kept, id="")  # the other name is taken by the one that failed
            reports.keep()
    if wandb.run is None:
        _begin_wandb(wandb, reports, "offline")
    return WandbCallback()


def _begin_wandb(wandb: Any, reports: Reports, mode: str, key: str | None = None) -> None:
    """Neither the log, where answers may stand, nor programs are sent; the key is written nowhere."""
    folder = folder_of(reports.run)
    folder.mkdir(exist_ok=True)
    limits = {"init_timeout": REACHED_WITHIN, "finish_timeout": SENT_WITHIN, "silent": True}
    private = {"console": "off", "save_code": False, "disable_git": True, "api_key": key}
    begun = wandb.init(
        project=reports.reporting.project,
        name=reports.run.id,
        id=reports.kept.id,
        resume="allow",
        dir=str(folder),
        mode=mode,
        settings=wandb.Settings(**limits, **private),
    )
    if mode == "online":
        reports.keep(begun.url or "")


INTEGRATIONS: dict[str, Integration] = {"tensorboard": _tensorboard, "trackio": _trackio, "wandb": _wandb}
