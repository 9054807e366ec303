"""Two answers of the chat, judged before it is told whose they are. The votes are those of an arena."""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from ...errors import UserError
from ...evaluate.arena import Arena, ArenaQuestion, Assignment, chat_arena
from ...evaluate.kept_answers import SHOWN as SHOWN_OF_CHECKSUM
from ...inference.sides import MOST_SIDES, Side
from ..context import AppContext
from ..guard import in_words, owners
from ..translate import translate
from .history import LONGEST_MESSAGE, Asking, text_of
from .news import news

RATER = "chat"  # whoever sits at this page
SHOWN = ("text", "html")  # of an answer, before it is judged
MOST_HIDDEN = 200  # answers whose facts are remembered until they are judged
SKIP = "skip"


class Blind:
    """Sides are chosen by a coin on the server; the browser learns which was which with its vote."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self._lock = threading.Lock()
        self._arena: Arena | None = None
        self._hidden: OrderedDict[str, list[dict[str, Any]]] = OrderedDict()  # facts of both, as they are shown

    def functions(self) -> list[Callable[[Any], dict[str, Any]]]:
        """What the script of the chat calls: nothing where nobody may change anything."""
        return [owners(self.judge)] if self.page.may_change else []

    def can_hide(self, sides: Mapping[int, Side]) -> bool:
        """Are there two, and different ones?"""
        return self.page.may_change and list(sides) == [0, 1] and model_of(sides[0]) != model_of(sides[1])

    def news(self, asking: Asking, sides: Mapping[int, Side], note: str, told: Mapping[int, dict[str, Any]]) -> str:
        """Both answers, whole, without anything that tells whose they are. told: by the number of the column."""
        models = {model_of(sides[place]): answer for place, answer in told.items()}
        texts = {model: str(answer["text"]).strip() for model, answer in models.items()}
        if not all(texts.values()):  # nothing that could be judged
            return news(asking.name, "done", note, dict(told))
        checksums = {model: str(answer.get("checksum") or "")[:SHOWN_OF_CHECKSUM] for model, answer in models.items()}
        given = self.arena().ask(RATER, ArenaQuestion(uuid.uuid4().hex, asking.question, "", texts, checksums))
        order = [models[given.left], models[given.right]]
        with self._lock:
            self._hidden[given.id] = [
                {name: value for name, value in one.items() if name not in SHOWN} for one in order
            ]
            while len(self._hidden) > MOST_HIDDEN:
                self._hidden.popitem(last=False)
        shown = {place: {**_bare(one), "text": str(one["text"]).strip()} for place, one in enumerate(order)}
        return news(asking.name, "done", note, shown, given.id)

    def judge(self, asked: Any) -> dict[str, Any]:
        """{"id", "choice": one of CHOICES or "skip", "comment", "sides"} -> {"order": [column of the one on the left,
        column of the other], "facts": [what was not told of each]}, or {"problem": words, "code"}.
        """
        asked = asked if isinstance(asked, dict) else {}
        try:
            id, arena = text_of(asked.get("id"), 200), self.arena()
            given = arena.given(id)
            order = _columns(given, asked.get("sides"))
            choice = text_of(asked.get("choice"), 20)
            if choice == SKIP:
                arena.skip(RATER, id)
            else:
                arena.vote(RATER, id, choice, text_of(asked.get("comment"), LONGEST_MESSAGE))
            with self._lock:
                return {"order": order, "facts": self._hidden.pop(id, [{}, {}])}
        except UserError as error:
            return {"problem": translate(in_words(error, self.page.may_change)), "code": error.code}

    def arena(self) -> Arena:
        """That of the chat, made when it is first needed."""
        with self._lock:
            if self._arena is None or not self._arena.folder.is_dir():
                self._arena = chat_arena(self.page.settings)
            return self._arena


def model_of(side: Side) -> str:
    """What a side is called among those that are rated: with whatever is not as usual."""
    name = {"base": f"base:{side.run}", "endpoint": f"endpoint:{side.endpoint}", "run": side.run}.get(side.who)
    if name is None:
        name = "mix:" + "+".join(f"{part.weight:g}*{part.run}" for part in side.mix)
    step = "" if side.checkpoint is None else f"@{side.checkpoint}"
    strength = "" if side.strength == 1 else f" x{side.strength:g}"
    temperature = "" if side.temperature is None else f" t{side.temperature:g}"
    return f"{name}{step}{strength}{temperature}"


def _columns(given: Assignment, sent: Any) -> list[int]:
    """In which columns the two belong. Raises UserError where others stand there now."""
    sides = [model_of(Side.of(one)) for one in sent[:MOST_SIDES]] if isinstance(sent, list) else []
    if sorted(sides) != sorted((given.left, given.right)):
        raise UserError(
            "arena.other_columns", "Others answer in these columns now: this pair cannot be judged any more."
        )
    return [sides.index(given.left), sides.index(given.right)]


def _bare(told: dict[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in SHOWN}
