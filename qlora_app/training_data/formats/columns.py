"""Which column is what, said by the person: for files whose columns have names that nobody could know."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...choices import Choices, setting
from ...errors import Problem, UserError
from ...messages import MOST_OPTIONS, Message
from ..read.refusals import NotTrainable
from .chat_turns import turns_of
from .paths import EACH, column_of, entries_at, first_of, value_at, with_entry
from .readers import as_text, document
from .row_view import Reading
from .turns import RowError, is_blank

_OF_CHATS = ("answers_by", "silence_hours")  # settings that name no column
_PLACE = re.compile(r"\{([^{}]+)\}")


Guess = dict[str, str]  # {setting of ColumnMap: column, or path inside of one}


class AskColumns(NotTrainable):
    """A file that can be learned from once a person says which of its `columns` (the names in the file) is what.

    `guesses`: how it may be meant, the likeliest first.
    """

    guesses: Sequence[Guess] = ()

    def __init__(self, code: str, template: str, format: str, rows: int, columns: list[str], /, **values: Any) -> None:
        super().__init__(code, template, format, rows, **values)
        self.columns = columns


class AskWho(AskColumns):
    """Conversations of people that can be learned from once a person says who of them answers: how many messages each
    has, the most first, and who probably is meant.
    """

    people: dict[str, int] = {}
    guess: str = ""


class ColumnMap(Choices):
    """Names of columns, each only where a person gave one. A name may lead into a cell that is an object or a list, as
    paths.py says: `translation.en`, `answers[first].text`.
    """

    prompt: str = setting("", "Column that asks", "The name of the column in your file.")
    template: str = setting("", "Composed question", "A text with columns in braces, instead of one column that asks.")
    input: str = setting(
        "", "Column of the input", "What a question is about; it follows the question where it is not empty."
    )
    answer: str = setting(
        "", "Column that answers", "What is learned. Without a column that asks, it is learned as plain text."
    )
    label: str = setting("", "Column of the label", "Learned instead of an answer; a number is written out.")
    options: str = setting(
        "",
        "Column of the options",
        "All answers to choose from in a row, as a list or divided by |, for losses that compare them.",
    )
    system: str = setting("", "Column of the system text", "Stands before the conversation.")
    messages: str = setting(
        "", "Column of whole conversations", "A list of turns, instead of a question and an answer."
    )

    answers_by: str = setting(
        "",
        "Who answers",
        "In chats of people: the name whose messages are learned; several names with commas between.",
    )
    silence_hours: float = setting(
        4.0, "Hours of silence", "In chats of people: after so long without a message a conversation ends.", gt=0
    )

    @property
    def given(self) -> dict[str, str]:
        """{setting: value} of the columns a person has named."""
        return {name: value for name, value in self if value and name not in _OF_CHATS}

    @property
    def names(self) -> dict[str, str]:
        """{column as rows have it: setting} of every column that is named."""
        named = {value.strip().lower(): name for name, value in self.given.items() if name != "template"}
        return named | {place.strip().lower(): "template" for place in _PLACE.findall(self.template)}

    def check(self, name: str, seen: Iterable[str]) -> None:
        """Raises UserError if nothing is named to learn from, or a column that the file `name` has not.

        `seen` are those it has.
        """
        there = {one.strip().lower(): one for one in seen}
        shown = ", ".join(repr(one[:30]) for one in list(there.values())[:8])
        problems = {
            setting: Problem(
                "columns.not_there",
                "{name} has no column {column!r}. It has {columns}.",
                name=name,
                column=column,
                columns=shown,
            )
            for column, setting in self.names.items()
            if column_of(column, there) is None
        }
        if self.given and not (self.answer or self.label or self.messages):
            problems["answer"] = Problem(
                "columns.none_to_learn",
                "No column is named to learn from. Name the one that answers, the label, or the one of whole "
                "conversations.",
            )
        if self.options and (self.messages or not (self.prompt or self.template)):
            problems["options"] = Problem(
                "columns.options_alone",
                "Options need a column that asks and one that answers. Name these too, or leave the options out.",
            )
        problems |= self._passed_over()
        if self.template and not _PLACE.search(self.template):
            problems["template"] = Problem(
                "columns.template_names_none",
                "{template!r} names no column. Write names in braces, for example {{title}} {{body}}.",
                template=self.template,
            )
        if problems:
            raise UserError.of_all({f"dataset.columns.{setting}": text for setting, text in problems.items()})

    def _passed_over(self) -> dict[str, Problem]:
        """What would not be read, because something else that is named takes its place."""
        problems = {}
        if self.prompt and self.template:
            problems["prompt"] = Problem(
                "columns.prompt_passed_over",
                "The question is composed already, so {prompt!r} would not be read. Leave one of the two out.",
                prompt=self.prompt,
            )
        if self.label and self.answer:
            problems["label"] = Problem(
                "columns.two_to_learn",
                "{answer!r} answers and {label!r} is the label, and only one of them can be learned.",
                answer=self.answer,
                label=self.label,
            )
        if self.input and not (self.prompt or self.template):
            problems["input"] = Problem(
                "columns.input_alone",
                "{input!r} is put behind a question, and no column asks. Name the one that does, or leave it out.",
                input=self.input,
            )
        return problems

    def read(self, row: Reading) -> list[Message] | Iterator[list[Message]]:
        """The turns of one row; several conversations where a column is named with `[each]`. Raises RowError."""
        if any(EACH in name for name in self.names):
            return (turns for one in self._of_each(row) for turns in one._conversations(row))
        return self._turns(row)

    def _of_each(self, row: Reading) -> Iterator["ColumnMap"]:
        """The map of every entry of a list, one list after the other."""
        path = next((name for name in self.names if EACH in name), None)
        if path is None:
            yield self
            return
        for number in range(len(entries_at(row, path))):
            named = {name: with_entry(value, path, number) for name, value in self.given.items()}
            yield from self.model_copy(update=named)._of_each(row)

    def _conversations(self, row: Reading) -> Iterator[list[Message]]:
        """None, or one that is refused when it is tidied, where something is lacking."""
        try:
            made = self._turns(row)
        except RowError:
            row.notes.add("one of several examples could not be used and was skipped")
            return
        if isinstance(made, list):
            yield made
        else:
            yield from made

    def _turns(self, row: Reading) -> list[Message] | Iterator[list[Message]]:
        before: list[Message] = []
        system = self._text(row, self.system) if self.system else ""
        if system:
            before.append({"role": "system", "content": system})
        if self.messages:
            return before + turns_of(value_at(row, self.messages), self.messages, row)
        answer = self._text(row, self.label or self.answer)
        if not (self.prompt or self.template):
            return document(Reading({"text": answer}))
        if self.template:
            asked = _PLACE.sub(lambda place: self._text(row, place[1]), self.template.replace("\\n", "\n"))
        else:
            asked = self._text(row, self.prompt)
        question = asked
        more = self._text(row, self.input) if self.input else ""
        if not is_blank(more):
            question = f"{asked}\n\n{more}"
        answer_turn: Message = {"role": "assistant", "content": answer}
        if self.options:
            listed = self._options(row)
            answer_turn |= {"content": _right(answer, listed), "options": list(dict.fromkeys(listed))}
        return [*before, {"role": "user", "content": question}, answer_turn]

    def _options(self, row: Reading) -> list[str]:
        value = value_at(row, self.options)
        if value is None:
            raise RowError(f"it has no options in `{self.options}`")
        listed = value if isinstance(value, list) else as_text(value, self.options).split("|")
        options = [as_text(one, self.options).strip() for one in listed]
        if not 2 <= len(different := set(options)) <= MOST_OPTIONS or not all(options):
            raise RowError(
                f"`{self.options}` has {len(different)} options; 2 to {MOST_OPTIONS} can be compared, none of them "
                f"empty"
            )
        return options

    def _text(self, row: Reading, name: str) -> str:
        """Empty where the row has nothing there, if it is not the answer."""
        value = first_of(row, name, value_at(row, name))
        if value is None and name == (self.label or self.answer):
            raise RowError(f"it has nothing in its column {name!r}")
        if value is None:
            return ""
        return as_text(value, name)


def _right(answer: str, options: list[str]) -> str:
    """The option that is meant: in full, or by its number, counted from 0."""
    text = answer.strip()
    if text in options:
        return text
    if text.isdecimal() and int(text) < len(options):
        return options[int(text)]
    raise RowError(f"its answer {text[:30]!r} is none of its {len(options)} options")
