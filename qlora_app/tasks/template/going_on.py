"""An answer that is gone on with: the prompt of the question, and the tokens of what was said so far, as they stand in
a row that was learned.
"""

import re

from ...errors import UserError
from ...messages import Conversation, Message
from .chat_template import ChatTemplate
from .place import SENTINEL
from .render import Answer, Rendering

_REASONED = re.compile(r"\s*<think>\n?(.*?)(?:\n?</think>(.*)|\Z)", re.DOTALL)


def reasons(template: ChatTemplate, begun: str) -> bool:
    """Does an answer begin with reasoning, ended or not, for which the template has a place?"""
    return template.has_thinking and _REASONED.match(begun) is not None


def begun_ids(template: ChatTemplate, conversation: Conversation, begun: str) -> tuple[list[int], list[int]]:
    """(token ids of the prompt, those of the beginning of the answer to it).

    begun: what was said so far, reasoning in <think> marks before it. Raises UserError where the template refuses the
    conversation, or leaves no place to go on.
    """
    turn, is_reasoning = _turn(begun) if reasons(template, begun) else _answer(begun)
    known = template.known_form([*conversation, turn])
    made = template.place(known)
    answer = made.answers[-1] if made.answers else None
    if answer is None or answer.turn != len(known) - 1:
        raise _no_place()
    texts = sorted(span for span in made.contents if answer.start <= span[0] and span[1] <= answer.end)
    said = turn["reasoning"] if is_reasoning else turn["content"]
    start, end = texts[0 if is_reasoning else -1] if texts else (0, 0)
    written = made.text[start:end].rstrip()
    if is_reasoning:  # some templates have no place for it, and it stands with its marks before the answer
        mark = "<think>" if written.startswith("<think>") else ""
        written = mark + "".join(written.removeprefix(mark).partition(said)[:2])
    if not said or not written.endswith(said):
        raise _no_place()
    end = start + len(written)
    before = [span for span in made.contents if span[1] <= end]
    cut = Rendering(made.text[:end], before, [*made.answers[:-1], Answer(answer.turn, answer.start, end)])
    tokens = template.encode_all([cut])[0]
    inside = next((place for place, token in enumerate(tokens) if token[1] >= answer.start), len(tokens))
    ids = [token[0] for token in tokens]
    return ids[:inside], ids[inside:]


def _turn(begun: str) -> tuple[Message, bool]:
    """The answer as a turn, and whether it is still reasoning."""
    thought = _REASONED.match(begun)
    reasoning, answer = (thought[1], thought[2]) if thought else ("", begun)
    if answer is None or not answer.strip():  # it may have been about to answer
        return {"role": "assistant", "content": SENTINEL.format("answer"), "reasoning": reasoning.strip()}, True
    return {"role": "assistant", "content": answer.strip(), "reasoning": reasoning.strip()}, False


def _answer(begun: str) -> tuple[Message, bool]:
    return {"role": "assistant", "content": begun.strip()}, False


def _no_place() -> UserError:
    return UserError(
        "template.no_going_on",
        "The model's chat template leaves no place to go on with this answer. Ask again instead.",
    )
