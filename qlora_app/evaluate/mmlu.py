"""MMLU as artidoro/qlora scores it: the letter that a model finds likeliest after "Answer:"; the prompt is bare text.

The letters are looked for in their place (" A" after "Answer:" and not "A" by itself, which byte-level tokenizers make
another token of), so that question by question it says what lm-eval says.
"""

import inspect
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ..chance import wilson
from ..choices import setting
from ..errors import Problem, UserError
from ..inference.session import ChatSession
from ..jobs import JobWriter
from ..settings import Settings
from ..tasks.generate import context_of
from ..tasks.task import evaluating, in_batches
from .contenders import Check, Contender, HereContender
from .contestants import Contestant
from .decoding import AnswerDecoding
from .evaluation import Measure
from .evaluator import Evaluator, Rows
from .figures import Figure
from .mmlu_subjects import category_of
from .multiple_choice import LETTERS
from .question_sets import QuestionSet, SetQuestion

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

BATCH = 8
LONGEST = 2048  # tokens of a prompt, as mmlu_source_max_len of artidoro/qlora has it


@dataclass(frozen=True)
class Chosen:
    """scores: nats of each letter after the prompt. shots: how many were left of those that were wanted."""

    question: SetQuestion
    scores: list[float] = field(default_factory=list)
    shots: int = 0
    tokens: int = 0
    seconds: float = 0.0
    is_cut: bool = False  # even without shots it was too long, and lost its beginning
    problem: Problem | None = None

    def row(self) -> dict[str, Any]:
        one = self.question
        return {
            "id": one.id,
            "question": one.text,
            "category": one.category,
            "answer": LETTERS[self.scores.index(max(self.scores))],
            "expected": one.expected,
            "scores": [round(score, 6) for score in self.scores],
            "shots": self.shots,
            "is_cut": self.is_cut,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }


class MmluScore(Evaluator):
    """The mean over the subjects, each counting the same, as the paper has it; its interval is made of their standard
    errors.
    """

    name: Literal["mmlu"] = "mmlu"
    title: ClassVar[str] = "Right letters, mean over subjects"
    shots: int = setting(5, "Shots", "Questions of the dev file with their answers before each one.", ge=0, le=20)

    def check(self, contestant: Contestant) -> None:
        if not contestant.is_here:
            raise UserError(
                "evaluate.no_letters",
                "{contestant} cannot say how likely each letter is to it: only a model of this machine can. Leave it "
                "out, or measure something else.",
                contestant=contestant.word,
            )

    def kept_for(self, decoding: AnswerDecoding) -> dict[str, Any]:
        return {"letters": 1, "shots": self.shots, "longest": LONGEST}

    def scored(self, questions: QuestionSet) -> list[SetQuestion]:
        return [one for one in questions.questions if one.pieces]

    def gather(
        self, contender: Contender, questions: Sequence[SetQuestion], decoding: AnswerDecoding, check: Check
    ) -> Iterator[Chosen]:
        assert isinstance(contender, HereContender), "others were refused"
        session = contender.session
        if not session.task.is_chat:
            raise UserError(
                "evaluate.no_text_model",
                "{contestant} goes on with no text, so it has no letter that would come next.",
                contestant=contender.contestant.word,
            )
        scorer = _Scorer(session, contender.is_base, self.shots)
        prompts = [scorer.prompt(one) for one in questions if one.pieces]
        prompts.sort(key=lambda prompt: -len(prompt.ids))  # so that a lack of memory shows at once
        for some in in_batches(prompts, BATCH):
            check()
            yield from scorer.chosen(some)

    def scores(self, asked: Sequence[SetQuestion], rows: Rows) -> list[float]:
        return [float(rows[one.id]["answer"] == one.expected) for one in asked]

    def figures(self, asked: Sequence[SetQuestion], scores: Sequence[float], rows: Rows) -> dict[str, Figure]:
        by_subject: dict[str, list[float]] = {}
        for one, score in zip(asked, scores, strict=True):
            by_subject.setdefault(one.category, []).append(score)
        return {"mmlu": macro(list(by_subject.values())), "questions": Figure.mean_of(scores)}

    def measure(
        self, gathered: Mapping[str, Rows], questions: QuestionSet, out: JobWriter, settings: Settings
    ) -> Measure:
        """With the four categories, each the mean over its subjects, before the subjects."""
        found = super().measure(gathered, questions, out, settings)
        asked = self.scored(questions)
        for one, rows in zip(found.contestants, gathered.values(), strict=True):
            subjects = dict(one.categories)
            one.categories.clear()
            for category in dict.fromkeys(category_of(subject) for subject in subjects):
                some = [each for each in asked if category_of(each.category) == category]
                if category:
                    one.categories[category] = self.figures(some, self.scores(some, rows), rows)["mmlu"]
            one.categories.update(subjects)
        found.notes.extend(_shots_note(name, rows, self.shots) for name, rows in gathered.items())
        found.notes[:] = list(filter(None, found.notes))
        return found


def macro(subjects: Sequence[Sequence[float]]) -> Figure:
    """The mean over subjects. Standard error: the root of the sum of theirs, sqrt(p (1 - p) / (n - 1)), squared, by how
    many they are. Where a subject shows no spread, all right or all wrong, it is given that of all questions.

    The interval is Wilson's of as many questions as would have that standard error, so it stays between 0 and 1.
    """
    count = sum(map(len, subjects))
    if not count:
        return Figure(0.0, 0, 0.0, 1.0)
    means = [statistics.fmean(scores) for scores in subjects]
    value = statistics.fmean(means)
    every = [score for scores in subjects for score in scores]
    if len(subjects) == 1 or len(set(every)) == 1:
        return Figure.mean_of(every)
    pooled = statistics.variance(every)
    spreads = [statistics.variance(scores) if len(set(scores)) > 1 else pooled for scores in subjects]
    square = sum(spread / len(scores) for spread, scores in zip(spreads, subjects, strict=True)) / len(subjects) ** 2
    return Figure(value, count, *wilson(value, value * (1 - value) / square))


def _shots_note(name: str, rows: Rows, shots: int) -> str:
    """Which shots had to be dropped, in words; "" where none."""
    left = [row["shots"] for row in rows.values()]
    fewer = [count for count in left if count < shots]
    cut = sum(bool(row.get("is_cut")) for row in rows.values())
    told = ""
    if fewer:
        told = f"{name} was shown fewer than {shots} shots on {len(fewer):,} of {len(left):,} questions: "
        told += f"at least {min(fewer)} were there and left room for the question."
    if cut:
        told += f" {cut:,} questions lost their beginning: even without shots they are too long."
    return told.strip()


@dataclass(frozen=True)
class _Prompt:
    question: SetQuestion
    ids: list[int]
    shots: int
    is_cut: bool


class _Scorer:
    """A model with its letters."""

    def __init__(self, session: ChatSession, is_base: bool, shots: int) -> None:
        self.session, self.is_base, self.shots = session, is_base, shots
        self.letters = letter_ids(session.tokenizer)
        room = max(map(len, self.letters)) - 1
        self.longest = min(LONGEST, context_of(session.model) or LONGEST) - room

    def prompt(self, one: SetQuestion) -> _Prompt:
        """Whole shots are dropped from the front until it fits; the question stays."""
        header, *shots, body = one.pieces
        shots = shots[: self.shots]
        while True:
            ids = self._ids("".join([header, *shots, body]))
            if len(ids) <= self.longest or not shots:
                break
            shots = shots[1:]
        return _Prompt(one, ids[-self.longest :], len(shots), len(ids) > self.longest)

    def chosen(self, some: Sequence[_Prompt]) -> list[Chosen]:
        began = time.monotonic()
        scores = self.session.alone(lambda: self._scores(some))
        seconds = round((time.monotonic() - began) / len(some), 4)
        return [
            Chosen(one.question, row, one.shots, len(one.ids), seconds, one.is_cut)
            for one, row in zip(some, scores, strict=True)
        ]

    def _ids(self, text: str) -> list[int]:
        """With the token that the tokenizer begins every text with, if it does, and without one at its end."""
        tokenizer = self.session.tokenizer
        ids = list(tokenizer(text)["input_ids"])
        return ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id else ids

    def _scores(self, some: Sequence[_Prompt]) -> list[list[float]]:
        if all(len(letter) == 1 for letter in self.letters):
            nexts = self._log_chances([one.ids for one in some])
            return [[float(row[letter[0]]) for letter in self.letters] for row in nexts]
        return [[self._of_several(one.ids, letter) for letter in self.letters] for one in some]

    def _of_several(self, ids: list[int], letter: list[int]) -> float:
        """Of a letter that is several tokens here, each after those before it."""
        total = 0.0
        for place, token in enumerate(letter):
            total += float(self._log_chances([[*ids, *letter[:place]]])[0][token])
        return total

    def _log_chances(self, rows: Sequence[list[int]]) -> "torch.Tensor":
        """[rows, vocabulary]: the logarithm of what comes after each row. Padded on the right, which no token sees."""
        import torch

        model = self.session.model
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows], device=model.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device)
        last = torch.tensor([len(row) - 1 for row in rows], device=model.device)
        places, which = torch.unique(last, return_inverse=True)
        more = {"logits_to_keep": places} if _keeps_some(model) else {}
        with evaluating(model, self.is_base), torch.inference_mode():
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **more).logits
        if not more:
            which = logits.shape[1] - width + last  # a method may have put tokens in front
        found = logits[torch.arange(len(rows), device=logits.device), which.to(logits.device)]
        return found.float().log_softmax(-1).cpu()


def _keeps_some(model: Any) -> bool:
    """Can it be asked for the logits of some places only? All of them are gigabytes of a long prompt."""
    config = getattr(model, "active_peft_config", None)
    if getattr(config, "is_prompt_learning", False):
        return False
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return "logits_to_keep" in inspect.signature(base.forward).parameters


def letter_ids(tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    """The tokens of each letter behind "Answer:". Raises UserError where they cannot be told apart."""
    head = tokenizer("Answer:", add_special_tokens=False)["input_ids"]
    found = []
    for letter in LETTERS:
        ids = tokenizer(f"Answer: {letter}", add_special_tokens=False)["input_ids"]
        found.append(list(ids[len(head) :]))
        if list(ids[: len(head)]) != list(head) or not found[-1]:
            raise _not_told_apart()
    if len({tuple(ids) for ids in found}) < len(LETTERS):
        raise _not_told_apart()
    return found


def _not_told_apart() -> UserError:
    return UserError(
        "evaluate.letters_alike",
        "The tokenizer of this model does not tell A, B, C and D apart after “Answer:”, so it cannot be asked so.",
    )
