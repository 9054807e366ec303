"""Why this answer: asked of an answer in the chat, told to the script of the page."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import UserError
from ...inference.sides import here_of
from ...inference.why import why
from ..context import AppContext
from ..guard import in_words
from ..translate import translate
from .answering import Answering, Talk
from .history import LONGEST_ANSWER, Asking, decoding_of, system_of, text_of
from .line import Line, NobodyListensError, waiting_words

CHANGED_MOST = 3


@dataclass(frozen=True)
class Asked:
    """An answer, what it was an answer to, and the name under which the browser waits for the reasons."""

    name: str
    talk: Talk
    answer: str
    has_ended: bool
    checksum: str = ""  # of the adapter that wrote it; "" where that is not known, or none did

    @classmethod
    def of(cls, sent: Any, run: str) -> "Asked":
        """What a browser sent: as a question is sent, with {"answer", "hasEnded", "how", "checksum"} of what was
        said.
        """
        sent = sent if isinstance(sent, dict) else {}
        how = sent.get("how") if isinstance(sent.get("how"), dict) else {}
        answer = sent.get("answer")
        text = answer[:LONGEST_ANSWER] if isinstance(answer, str) else ""
        asking = Asking.of(sent)
        talk = Talk(asking, run, system_of(how.get("system")), decoding_of(how))
        checksum = text_of(sent.get("checksum"), 64)
        return cls(asking.name, talk, text, sent.get("hasEnded") is True, checksum)


class Reasons:
    """Tells them in the order of the line in which questions wait too."""

    def __init__(self, page: AppContext, line: Line, answering: Answering) -> None:
        self.page, self.line, self.answering = page, line, answering

    def told(self, asked: Asked, request: Any) -> Iterator[str]:
        """What is new of it, as JSON, until all is known or cannot be."""
        place = self.line.enter(request)
        try:
            for before in self.line.wait(place, lambda: False):
                yield _told(asked, sentence=translate(waiting_words(before)))
            yield _told(asked, sentence=translate("Reading the answer once more…"))
            yield self._found(asked)
        except NobodyListensError:
            return
        except Exception as error:  # whatever it is, it is said at the answer
            yield _told(asked, sentence=translate(in_words(error, self.page.may_change)), isOver=True)
        finally:
            self.line.leave(place)

    def _found(self, asked: Asked) -> str:
        talk = asked.talk
        (number, side), *_ = talk.asking.answering(talk.run).items()
        voice = here_of(side, self.page.store, self.page.sessions)
        if asked.checksum and asked.checksum != voice.checksum:
            raise _other_adapter(asked.checksum, voice.checksum)
        turns = [*self.answering.first_turn(talk, side, voice), *talk.asking.conversation(number)]
        found = why(voice.session, turns, asked.answer, has_ended=asked.has_ended)
        places = {id(part): place for place, part in enumerate(found.parts)}
        most = [places[id(part)] for part in found.changed_most(CHANGED_MOST)]
        return _told(asked, sentence=translate(found.note), isOver=True, most=most, **found.to_json())


def _other_adapter(wrote: str, here: str) -> UserError:
    return UserError(
        "why.other_adapter",
        "Another adapter wrote this answer: the SHA-256 of its weights begins with {wrote}, that of the adapter in "
        "memory with {here}. Ask again, then look at the new answer.",
        wrote=wrote[:8],
        here=here[:8],
    )


def _told(asked: Asked, **more: Any) -> str:
    return json.dumps({"asking": asked.name, "isOver": False} | more)
