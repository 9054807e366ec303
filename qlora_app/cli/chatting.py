"""A conversation in a terminal: answers of a run, others beside them, and commands that begin with a slash."""

import contextlib
import json
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from ..errors import UserError
from ..inference.pool import ModelPool
from ..inference.session import Decoding
from ..inference.sides import MOST_SIDES, Here, Replies, Side, here_of
from ..inference.writing import Said
from ..messages import Conversation
from ..runs import Run, RunStore
from ..runs.finding import find_run

HISTORY, LONGEST_HISTORY = "chat_history", 1000  # the file in the home, and its lines
BASE = "base"
WORDS = re.compile(r"[\w<&$%@=/\\{}()\"']")  # what must be there again when Markdown was drawn
INNER_STARS = re.compile(r"\w\*+\w")
PROMPT = "> "


@dataclass
class Column:
    """Who answers, and what they said so far."""

    name: str
    voice: Here
    turns: Conversation

    @property
    def is_base(self) -> bool:
        return self.voice.is_base


class Talk:
    """A conversation with a run, and with those beside it, who are asked the same."""

    def __init__(self, run: Run, beside: Sequence[str], store: RunStore, pool: ModelPool, screen: Console) -> None:
        """beside: "base", or another run, each with @STEP for a checkpoint. Raises UserError."""
        self.run, self.store, self.pool, self.screen = run, store, pool, screen
        self.decoding = Decoding()
        self.system: str | None = None  # None: as most rows of the training had it
        self.columns: list[Column] = []
        self.add(run.id)
        for name in beside:
            self.add(name)

    def add(self, name: str) -> None:
        """One more answers beside the others, from the next question on. Raises UserError."""
        if len(self.columns) >= MOST_SIDES:
            raise UserError("chat.too_many_columns", "At most {most} answer beside each other.", most=MOST_SIDES)
        side = self._side(name)
        with self.screen.status("Loading the model"):
            voice = here_of(side, self.store, self.pool)
        self.columns.append(Column(name, voice, []))

    def _side(self, name: str) -> Side:
        bare, _, step = name.partition("@")
        if bare == BASE:
            return Side(who="base", run=self.run.id)
        found = find_run(bare, self.store, with_adapter=True)
        if step and not step.isdecimal():
            raise UserError("chat.no_step", "{name}: behind @ stands the step of a checkpoint.", name=name)
        return Side(run=found.id, checkpoint=int(step) if step else None)

    def alone(self) -> None:
        """The others leave."""
        del self.columns[1:]

    def new(self) -> None:
        for column in self.columns:
            column.turns = []

    def undo(self) -> str:
        """The last question and its answers are taken back; returns the question, "" where there is none."""
        turns = self.columns[0].turns
        asked = next((turn["content"] for turn in reversed(turns) if turn["role"] == "user"), "")
        for column in self.columns:
            column.turns = column.turns[:-2]
        return asked

    def set(self, name: str, value: str) -> None:
        """Another value for how answers are chosen. Raises UserError."""
        if name not in Decoding.model_fields:
            names = ", ".join(Decoding.model_fields)
            raise UserError(
                "chat.no_setting", "There is no setting {name}. There are: {names}.", name=name, names=names
            )
        values = self.decoding.model_dump() | {name: None if value in ("", "none") else value}
        try:
            self.decoding = Decoding.model_validate(values, strict=False)
        except ValidationError as error:
            why = error.errors(include_url=False, include_input=False)[0]["msg"]
            raise UserError("chat.decoding", "{name}: {why}.", name=name, why=why) from None

    def ask(self, question: str, stop: threading.Event) -> Iterator[list[Said]]:
        """The answers of all columns so far, again and again; when they have ended they belong to the conversation."""
        asked = [(column.voice, self._with_system(column, question)) for column in self.columns]
        said: list[Said] = []
        try:
            for said in Replies(asked, self.decoding, stop):
                yield said
        finally:
            if not any(one.error for one in said):
                for column, one in zip(self.columns, said, strict=False):
                    column.turns += [{"role": "user", "content": question}, {"role": "assistant", "content": str(one)}]

    def _with_system(self, column: Column, question: str) -> Conversation:
        talk: Conversation = [*column.turns, {"role": "user", "content": question}]
        if self.system is None:
            return column.voice.session.as_trained(talk)
        return [{"role": "system", "content": self.system}, *talk] if self.system else talk

    def save(self, path: Path) -> int:
        """The conversation of every column is added to a file of rows that a training takes; returns how many."""
        first: Conversation = [{"role": "system", "content": self.system}] if self.system else []
        rows = [{"messages": [*first, *column.turns]} for column in self.columns if column.turns]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        try:
            with path.expanduser().open("a", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise UserError(
                "chat.not_saved", "{path} cannot be written: {why}", path=path, why=error.strerror
            ) from error
        return len(rows)


class Terminal:
    """Reads questions and commands, and shows the answers."""

    def __init__(self, talk: Talk, out: Console, as_json: bool, home: Path) -> None:
        self.talk, self.out, self.as_json, self.home = talk, out, as_json, home
        self.is_talking = sys.stdin.isatty() and not as_json

    def run(self) -> None:
        """Until the questions end."""
        if self.is_talking:
            self.talk.screen.print("/help tells the commands. Ctrl-C cuts an answer short. Ctrl-D leaves.")
        with self._remembered():
            for line in self._lines():
                try:
                    if self._is_over(line):
                        return
                except UserError as error:
                    self.talk.screen.print(Text(str(error)))

    def _is_over(self, line: str) -> bool:
        """Does what was typed end everything? An empty line begins a new conversation."""
        name, _, rest = line.partition(" ")
        command = None if self.as_json else COMMANDS.get(name)
        if command is not None:
            command(self, rest.strip())
            return False
        if name == "/exit" and not self.as_json:
            return True
        if self.is_talking and line.startswith("/") and not line.startswith("//"):
            self.talk.screen.print(
                Text(f"There is no {name}. /help tells what there is; // asks a question with a slash.")
            )
        elif line:
            self._ask(line.removeprefix("/") if line.startswith("//") else line)
        else:
            self.talk.new()
        return False

    # ---- answers

    def _ask(self, question: str) -> None:
        if not self.is_talking and not self.as_json:
            self.out.print(Text(f"> {question}"), soft_wrap=True)
        stop = threading.Event()
        growing = self.talk.ask(question, stop)
        said: list[Said] = []
        is_moving = self.out.is_terminal and not self.as_json
        live = Live(console=self.out, refresh_per_second=12, vertical_overflow="visible") if is_moving else None
        try:
            with live or contextlib.nullcontext():
                for said in growing:
                    if live:
                        live.update(self._drawn(said))
        except KeyboardInterrupt:  # they end within a token; what was said so far stays
            stop.set()
        for one in said:
            if one.error:
                raise one.error
        if not is_moving:
            self._print(question, said)

    def _drawn(self, said: Sequence[Said]) -> RenderableType:
        if len(said) == 1:
            return markdown(said[0])
        table = Table(
            *(column.name for column in self.talk.columns), box=None, pad_edge=False, padding=(0, 2), expand=True
        )
        for one in table.columns:
            one.ratio = 1
        table.add_row(*map(markdown, said))
        return table

    def _print(self, question: str, said: Sequence[Said]) -> None:
        names = [column.name for column in self.talk.columns]
        if self.as_json:
            others = dict(zip(names[1:], map(str, said[1:]), strict=True))
            row = {"run": self.talk.run.id, "question": question, "answer": str(said[0])}
            print(json.dumps(row | {"base": others.get(BASE), "beside": others}, ensure_ascii=False), flush=True)
        elif len(said) == 1:
            self.out.print(Text(said[0]), soft_wrap=True)
        else:
            for name, one in zip(names, said, strict=True):
                self.out.print(Text(f"{name}: {one}"), soft_wrap=True)

    # ---- commands

    def new(self, _: str) -> None:
        """begin a new conversation; an empty line does so too"""
        self.talk.new()

    def retry(self, _: str) -> None:
        """ask the last question again"""
        if asked := self.talk.undo():
            self._ask(asked)

    def undo(self, _: str) -> None:
        """take the last question and its answers back"""
        self._tell(
            f"Taken back: {self.talk.undo()}" if self.talk.columns[0].turns else "There is nothing to take back."
        )

    def system(self, text: str) -> None:
        """/system TEXT: what stands before the conversation; alone: as in most rows of the training"""
        self.talk.system = text or None

    def set(self, words: str) -> None:
        """/set temperature 0.7: how answers are chosen; alone: as it is now"""
        name, _, value = words.partition(" ")
        if name:
            self.talk.set(name, value.strip())
        for name, value in self.talk.decoding.model_dump().items():
            self._tell(f"  {name:20} {'' if value is None else value}")

    def beside(self, name: str) -> None:
        """/beside base, RUN or RUN@STEP: it answers beside the others from now on"""
        self.talk.add(name or BASE)

    def alone(self, _: str) -> None:
        """only the run itself answers"""
        self.talk.alone()

    def save(self, path: str) -> None:
        """/save FILE.jsonl: add the conversation to a file of rows that a training takes"""
        if not path:
            raise UserError("chat.no_file", "/save FILE.jsonl names the file.")
        self._tell(f"{self.talk.save(Path(path))} conversations: {path}")

    def help(self, _: str) -> None:
        """these lines"""
        for name, command in COMMANDS.items():
            self._tell(f"  {name:10} {command.__doc__}")
        self._tell("  /exit      leave")

    def _tell(self, text: str) -> None:
        self.talk.screen.print(Text(text), soft_wrap=True)

    # ---- what is typed

    def _lines(self) -> Iterator[str]:
        while True:
            try:
                yield input(PROMPT if self.is_talking else "").strip()
            except EOFError:
                return
            except KeyboardInterrupt:  # what was typed so far is not asked
                print()

    @contextlib.contextmanager
    def _remembered(self) -> Iterator[None]:
        """On a terminal the arrows bring back what was typed, also on another day."""
        if not self.is_talking:
            yield
            return
        import readline  # of Unix; it changes `input` when it is imported

        file = self.home / HISTORY
        with contextlib.suppress(OSError):
            readline.read_history_file(file)
        readline.set_history_length(LONGEST_HISTORY)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                os.close(os.open(file, os.O_CREAT | os.O_WRONLY, 0o600))
                readline.write_history_file(file)


COMMANDS: dict[str, Callable[[Terminal, str], None]] = {
    "/help": Terminal.help,
    "/new": Terminal.new,
    "/retry": Terminal.retry,
    "/undo": Terminal.undo,
    "/system": Terminal.system,
    "/set": Terminal.set,
    "/beside": Terminal.beside,
    "/alone": Terminal.alone,
    "/save": Terminal.save,
}


def markdown(text: str) -> RenderableType:
    """As Markdown, where nothing that was said is lost by that, as HTML, backslashes and the stars of a product are."""
    if INNER_STARS.search(text):
        return Text(text)
    drawn = Markdown(text, hyperlinks=False)
    paper = Console(file=StringIO(), width=10_000, color_system=None)
    paper.print(drawn)
    seen = paper.file.getvalue()  # type: ignore[attr-defined]
    return drawn if WORDS.findall(text) == WORDS.findall(seen) else Text(text)
