"""What contestants are asked: the held-out rows of a run, a file, or a set that comes with the app.

On the command line and in Python a set is written as one word: a file's path, `held_out:RUN`, `vicuna`, `general`, or
`mmlu:FOLDER`.
"""

import hashlib
import itertools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from ..base_models import load_tokenizer
from ..choices import Choices
from ..errors import UserError
from ..formatting import count_of
from ..messages import Conversation, Message
from ..preflight import examples_of
from ..runs import Run, RunStore
from ..settings import Settings
from ..tasks import Question
from ..training_data.formats.turns import RowError
from ..training_data.questions import detector_of, question_and_answer
from ..training_data.read.reading import ReadAs
from ..training_data.read.rows import RowSource
from .json_rows import of_several

CATEGORIES = ("category", "subject", "topic")  # columns that name the category of a question, the first there counts
IDS = ("question_id", "id")


@dataclass(frozen=True)
class SetQuestion:
    """One question of a set. id: its own within the set; category: "" where the set has none.

    pieces: of a multiple-choice question its whole prompt: a header, the shots, and what is asked.
    """

    id: str
    category: str
    question: Question
    pieces: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return self.question.text

    @property
    def expected(self) -> str:
        """The right answer; "" where the set has none."""
        return self.question.expected


@dataclass(frozen=True)
class QuestionSet:
    """The questions in their order. digest: SHA-256 of all that is asked, before any limit."""

    name: str
    digest: str
    questions: tuple[SetQuestion, ...]
    left_out: int = 0  # rows that ask nothing

    @classmethod
    def of(cls, name: str, questions: Sequence[SetQuestion], left_out: int = 0) -> "QuestionSet":
        every = [[one.id, _plain(one.question.conversation), one.expected, *one.pieces] for one in questions]
        digest = hashlib.sha256(json.dumps(every).encode()).hexdigest()
        return cls(name, digest, tuple(questions), left_out)

    def first(self, limit: int | None) -> "QuestionSet":
        """At most `limit` questions, of the same set: the categories take turns, each with its first ones."""
        counts: Counter[str] = Counter()
        turns = []
        for place, one in enumerate(self.questions):
            turns.append((counts[one.category], place))
            counts[one.category] += 1
        chosen = sorted(place for _, place in sorted(turns)[:limit])
        return QuestionSet(self.name, self.digest, tuple(self.questions[place] for place in chosen), self.left_out)

    @property
    def categories(self) -> list[str]:
        """In the order of their first question."""
        return [name for name in dict.fromkeys(one.category for one in self.questions) if name]

    @property
    def words(self) -> str:
        return f"{count_of(len(self.questions), 'question')} of {self.name}"


class QuestionsChoice(Choices):
    """Which questions. A subclass has a `name: Literal[...]`, its settings, and `read`."""

    title: ClassVar[str]
    measured_by: ClassVar[str] = ""  # the only evaluator that knows what to do with them; "": any

    def read(self, files: Path, settings: Settings) -> QuestionSet:
        """files: the folder with the job's copies. Raises UserError."""
        raise NotImplementedError

    @property
    def file(self) -> Path | None:
        """What has to be copied into the job, as somebody named it."""
        return None


class HeldOut(QuestionsChoice):
    """Rows that a run never learned from, one question each."""

    name: Literal["held_out"] = "held_out"
    title: ClassVar[str] = "Held-out rows of a run"
    run: str = Field(max_length=200)

    def read(self, files: Path, settings: Settings) -> QuestionSet:
        run = RunStore(settings.runs).get(self.run)
        examples = examples_of(run.recipe().dataset, settings.data).held_out
        task, tokenizer, asked = run.task(), load_tokenizer(run.base_model()), []
        for place, example in enumerate(examples, 1):
            questions = task.questions(tokenizer, example)
            for number, question in enumerate(questions, 1):
                id = str(place) if len(questions) == 1 else f"{place}.{number}"
                asked.append(SetQuestion(id, "", question))
        if not asked:
            raise UserError(
                "evaluate.nothing_held_out",
                "{run} holds out no row that could be asked. Choose a file of questions instead.",
                run=run.id,
            )
        return QuestionSet.of(f"held-out rows of {run.id}", asked)


class QuestionFile(QuestionsChoice):
    """Rows of a file in any format that is read for training; an answer may stand in them or not."""

    name: Literal["file"] = "file"
    title: ClassVar[str] = "A file of questions"
    path: str = Field(max_length=4096)  # as it was named; what is read is the job's copy
    like: str = Field("", max_length=200)  # a run whose data's format the file has; "" finds it out by itself

    @property
    def file(self) -> Path | None:
        return Path(self.path)

    def read(self, files: Path, settings: Settings) -> QuestionSet:
        file = files / Path(self.path).name
        run = RunStore(settings.runs).get(self.like) if self.like else None
        return questions_in(file, settings, run)


SHIPPED = Path(__file__).parent / "sets"


class Vicuna(QuestionsChoice):
    """The 80 open questions of the Vicuna benchmark, as artidoro/qlora has them (sets/README.md)."""

    name: Literal["vicuna"] = "vicuna"
    title: ClassVar[str] = "Vicuna's 80 open questions"

    def read(self, files: Path, settings: Settings) -> QuestionSet:
        found = questions_in(SHIPPED / "vicuna.jsonl", settings)
        return QuestionSet.of("Vicuna", found.questions)


def questions_in(file: Path, settings: Settings, run: Run | None = None) -> QuestionSet:
    """The rows of a file: the conversation up to the last answer of each, which need not be there.

    run: whose data have its format. Raises UserError where nothing in it asks.
    """
    detector, how = detector_of("auto"), ReadAs()
    if run is not None:
        choice, (format, answer) = run.recipe().dataset, run.detected_data()
        detector = detector_of(format if choice.format == "auto" else choice.format, choice.columns, answer)
        how = choice.read_as
    asked: list[SetQuestion] = []
    problems: list[str] = []
    for row in RowSource(file, file.name, settings, how=how):
        try:
            if row.problem:
                raise RowError(row.problem)
            conversation, answer_text = question_and_answer(_plainly(row.value), detector)
        except RowError as error:
            problems.append(str(error))
            continue
        asked.append(_question(row.number, row.value, conversation, answer_text))
    if not asked:
        raise UserError(
            "evaluate.nothing_asked",
            "{name} asks nothing that could be answered: {why}.",
            name=file.name,
            why=problems[0] if problems else "it is empty",
        )
    return QuestionSet.of(file.name, _with_own_ids(asked), len(problems))


def _plainly(value: Any) -> Any:
    """Of MT-bench's turns the first, which is what files of answers answer first; a right answer that is a number as
    its text, also where the column is called as in the rows that an evaluation writes.
    """
    if not isinstance(value, dict):
        return value
    row = dict(value)
    turns = row.get("turns")
    if isinstance(turns, list) and turns and isinstance(turns[0], str):
        row["question"] = row.pop("turns")[0]
    if of_several(row) is not None:  # what others answered
        row = {name: value for name, value in row.items() if name not in ("answers", "checksums", "scores")}
    if "expected" in row and not row.keys() & {"answer", "output", "response"}:
        row["answer"] = row.pop("expected")
    for name in ("answer", "output", "response"):
        if isinstance(row.get(name), bool | int | float):
            row[name] = json.dumps(row[name])
    return row


def _question(number: int, value: Any, conversation: Conversation, answer: str) -> SetQuestion:
    turn: Message | None = {"role": "assistant", "content": answer, "train": True} if answer else None
    id = _named(value, IDS) or str(number)
    return SetQuestion(id, _named(value, CATEGORIES), Question(conversation, answer, turn=turn))


def _named(value: Any, names: Sequence[str]) -> str:
    """What a row says in the first of these columns that holds a word or a number."""
    row = {str(name).strip().lower(): one for name, one in value.items()} if isinstance(value, dict) else {}
    found = next((row[name] for name in names if isinstance(row.get(name), str | int)), "")
    return str(found).strip()


def _with_own_ids(questions: list[SetQuestion]) -> list[SetQuestion]:
    """An id that was there before gets a number of its own: an answer belongs to one question."""
    taken = {one.id for one in questions}
    found: list[SetQuestion] = []
    seen: set[str] = set()
    for one in questions:
        again = (f"{one.id}#{number}" for number in itertools.count(2))
        id = one.id if one.id not in seen else next(new for new in again if new not in taken | seen)
        seen.add(id)
        found.append(replace(one, id=id))
    return found


def _plain(conversation: Conversation) -> list[dict[str, Any]]:
    return [{name: value for name, value in turn.items() if name != "train"} for turn in conversation]
