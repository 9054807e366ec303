"""What somebody asks while it trains: answered between two steps with the weights of that moment, and kept with its
step. The training is the same with questions and without.
"""

from typing import Any, cast

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..errors import Problem, UserError, with_code
from ..jobs.failures import is_out_of_memory
from ..messages import Conversation
from ..runs.asking import Waiting, forget, waiting
from ..runs.rows import AskedRow
from ..tasks import Answer
from ..tasks.task import candidate_words
from .callbacks import MetricsCallback
from .log_lines import log_asked
from .questions import UNKNOWN
from .setup import TrainingSetup

CANDIDATES = 3  # shown of a task that weighs answers up
ANSWERING = "Answering a question."


class AskingCallback(TrainerCallback):
    """Answers what waits, oldest first, before the next step begins."""

    def __init__(self, job: TrainingSetup, reporter: MetricsCallback) -> None:
        self.job, self.reporter = job, reporter
        self._tried: set[str] = set()  # where the disk does not take an answer, it is not made at every step
        rows = job.run.asked()
        self._base = {row["question"]: row for row in rows if row.get("base") and row.get("question")}

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if state.global_step:  # nothing is learned before, and the first loss does not wait
            self.answer(state.global_step)

    def answer(self, step: int) -> None:
        """Everything that waits, by the adapter as it is after a step. Who asks for an end does not wait for it."""
        asked = [one for one in waiting(self.job.run) if one.id not in self._tried]
        if not asked:
            return
        with self.reporter.paused(ANSWERING):
            for one in asked:
                if self.job.out.is_asked_to_stop():
                    return
                self._keep(one, self._row(one, step))

    def _keep(self, asked: Waiting, row: AskedRow) -> None:
        self._tried.add(asked.id)
        try:
            self.job.out.append_asked(row)
            forget(self.job.run, asked.id)
        except OSError:
            return  # a full disk ends a training where something of its own is to be saved, not for a question
        log_asked(row["step"])

    def _row(self, asked: Waiting, step: int) -> AskedRow:
        try:
            said: dict[str, Any] = self._answers(asked.question)
        except Exception as error:  # whatever it is, a question must not end a training
            said = with_code({"sentence": _why_not(error)})
        if "sentence" in said:
            torch.cuda.empty_cache()  # what it held is let go, as the step that comes needs it
        return cast(AskedRow, {"id": asked.id, "step": step, "question": asked.question} | said)

    def _answers(self, question: str) -> dict[str, Any]:
        """What adapter and base say. The base stays as it is, so that the same question is put to it once."""
        self.job.task.check_asked(question)  # before it began nobody knew what it learns
        conversation = self.job.task.as_trained(self.job.tokenizer, [{"role": "user", "content": question}])
        now = self._said(conversation, is_base=False)
        known = self._base.get(question)
        if known is None:
            base = self._said(conversation, is_base=True)
            known = self._base[question] = AskedRow(base=base.text, base_is_cut=not base.has_ended)
        base_is_cut = known.get("base_is_cut", False)
        return {"answer": now.text, "is_cut": not now.has_ended, "base": known["base"], "base_is_cut": base_is_cut}

    def _said(self, conversation: Conversation, is_base: bool) -> Answer:
        """As the sample questions are answered; a task that weighs answers up says how likely each is."""
        job = self.job
        if job.task.has_candidates:
            found = job.task.candidates(job.model, job.tokenizer, [conversation], is_base, CANDIDATES)
            return Answer(candidate_words(found[0]))
        longest = max(job.questions.sample_length, UNKNOWN)
        temperature = 0.7 if is_base else 0.0
        return job.task.answers(job.model, job.tokenizer, [conversation], is_base, longest, temperature)[0]


def _why_not(error: Exception) -> Problem:
    if isinstance(error, UserError):
        return error.problem
    if is_out_of_memory(error):
        return Problem("ask.no_memory", "There was not enough memory to answer it beside the training.")
    return Problem("ask.failed", "It could not be answered: {error}", error=str(error)[:300])
