"""Perplexity: how likely the right answers are to a model, token by token, the question given.

Only a model of this machine can say so: an endpoint tells what it answers and not what it would have given to another
answer, and a file of answers tells less.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..errors import Problem, UserError
from ..inference.session import ChatSession
from ..tasks.generate import context_of
from ..tasks.packing import on_device
from ..tasks.task import evaluating
from .compare import Better
from .contenders import Check, Contender, HereContender
from .contestants import Contestant
from .decoding import AnswerDecoding
from .evaluator import Evaluator, Rows
from .figures import Figure
from .question_sets import QuestionSet, SetQuestion

MOST_NATS = 20.0  # of a token that is as unlikely as no vocabulary makes one by chance


@dataclass(frozen=True)
class Weighed:
    """nats: minus the logarithm of the right answer's probability, summed over its tokens, its end included."""

    question: SetQuestion
    nats: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    problem: Problem | None = None

    def row(self) -> dict[str, Any]:
        return {"id": self.question.id, "nats": self.nats, "tokens": self.tokens, "seconds": self.seconds}


class Perplexity(Evaluator):
    """Lower is better. Models with other tokenizers cut the same answer into other tokens: compare nats a token among
    those of one base only.
    """

    name: Literal["perplexity"] = "perplexity"
    title: ClassVar[str] = "Nats for each token of the right answers"
    unit: ClassVar[str] = "nats"
    better: ClassVar[Better] = "lower"

    def check(self, contestant: Contestant) -> None:
        if not contestant.is_here:
            raise UserError(
                "evaluate.no_likelihoods",
                "{contestant} cannot say how likely the right answers are to it: only a model of this machine can. "
                "Leave it out, or measure something else.",
                contestant=contestant.word,
            )

    def kept_for(self, decoding: AnswerDecoding) -> dict[str, Any]:
        return {"likelihoods": 1}

    def gather(
        self, contender: Contender, questions: Sequence[SetQuestion], decoding: AnswerDecoding, check: Check
    ) -> Iterator[Weighed]:
        assert isinstance(contender, HereContender), "others were refused"
        session = contender.session
        if session.task.name == "fill_mask":
            raise UserError(
                "evaluate.no_likelihood_of_masks",
                "{contestant} fills blanks, and has no likelihood of a whole answer.",
                contestant=contender.contestant.word,
            )
        for one in questions:
            check()
            yield _weighed(session, one, contender.is_base)

    def scored(self, questions: QuestionSet) -> list[SetQuestion]:
        return [one for one in questions.questions if one.question.turn is not None]

    def scores(self, asked: Sequence[SetQuestion], rows: Rows) -> list[float]:
        return [rows[one.id]["nats"] / max(1, rows[one.id]["tokens"]) for one in asked]

    def figures(self, asked: Sequence[SetQuestion], scores: Sequence[float], rows: Rows) -> dict[str, Figure]:
        """Each token counts the same; the interval is one over questions."""
        import numpy as np

        nats = np.asarray([rows[one.id]["nats"] for one in asked])
        tokens = np.asarray([rows[one.id]["tokens"] for one in asked])

        def mean(places: Sequence[int]) -> float:
            return float(nats[places].sum() / max(1, tokens[places].sum()))

        found = Figure.drawn(len(asked), mean, highest=MOST_NATS)
        raised = [math.exp(min(700.0, value)) for value in (found.value, found.low, found.high)]
        return {"nats": found, "perplexity": Figure(raised[0], found.questions, raised[1], raised[2])}


def _weighed(session: ChatSession, one: SetQuestion, base: bool) -> Weighed:
    began = time.monotonic()
    context = context_of(session.model)
    example = session.as_trained(one.question.example)
    try:
        made = session.task.examine(session.tokenizer, example)
    except UserError as error:  # its template refuses it
        return Weighed(one, problem=error.problem)
    if context is not None and len(made.input_ids) > context:
        return Weighed(one, problem=_too_long(one, len(made.input_ids), context))

    def measured() -> tuple[float, int]:
        row = {"input_ids": list(made.input_ids), "labels": list(made.labels)}
        batch = on_device(session.task.collator(session.tokenizer, packing=False)([row]), session.model.device)
        with evaluating(session.model, base):
            outcome = session.task.measure(session.model, [batch])
        tokens = sum(label != -100 for label in made.labels)
        return outcome["loss"] * tokens, tokens

    nats, tokens = session.alone(measured)
    if not math.isfinite(nats):
        return Weighed(one, problem=_no_number(one))
    return Weighed(one, nats, tokens, round(time.monotonic() - began, 4))


def _no_number(one: SetQuestion) -> Problem:
    return Problem(
        "evaluate.no_number",
        "how likely the right answer to question {id} is comes out as no number: what the model computes has "
        "overflowed, as after a training that diverged",
        id=one.id,
    )


def _too_long(one: SetQuestion, tokens: int, context: int) -> Problem:
    return Problem(
        "evaluate.too_long",
        "question {id} has {tokens:,} tokens with its answer, and the model reads {context:,}",
        id=one.id,
        tokens=tokens,
        context=context,
    )
