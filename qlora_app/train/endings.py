"""Do answers end by themselves, and do they go round? A scored answer may be little longer than the right one, and one
that is cut there may only have more to say: a few of those are asked once more, with room.
"""

from dataclasses import replace

from ..runs.diagnose.loops import is_going_round
from ..runs.proof import Answered
from ..tasks import Answer
from ..tasks.asked import Asked
from ..tasks.generate import context_of
from .questions import spread
from .scoring import LEAST_SECONDS, Scored
from .setup import TrainingSetup

ROOM = 256  # tokens
ASKED_LONGER = 16  # questions
SHARE = 0.1  # of the time for answers


def with_endings(job: TrainingSetup, answered: Answered, scored: Scored, seconds: float) -> Answered:
    """The same figures with those of answers that were asked once more. seconds: for which it trained; no more than a
    small part of that is taken.
    """
    if not any(one.answer for one in scored.asked):
        return answered  # nothing is generated
    cut = [place for place, one in enumerate(scored.answers) if one.is_cut]
    room = ROOM
    if scored.seconds_a_token > 0:
        room = min(ROOM, int(SHARE * max(seconds, LEAST_SECONDS) / scored.seconds_a_token))
    context = context_of(job.model)
    if context is not None:
        room = min(room, context // 2)
    fitting = [place for place in cut if scored.asked[place].longest < room]
    if context is not None:
        fitting = [place for place in fitting if scored.asked[place].prompt + room <= context]
    chosen = spread(fitting, ASKED_LONGER)
    said = {place: one.after for place, one in enumerate(scored.answers)}
    made = _answers(job, [scored.asked[place] for place in chosen], room)
    said |= {place: one.text for place, one in zip(chosen, made, strict=True)}
    expected = {place: one.expected for place, one in enumerate(scored.answers)}
    return replace(
        answered,
        asked_longer=len(made),
        ended_longer=sum(one.has_ended for one in made),
        room=room if made else 0,
        repeats=sum(is_going_round(said[place]) and not is_going_round(expected[place]) for place in said),
    )


def _answers(job: TrainingSetup, asked: list[Asked], room: int) -> list[Answer]:
    if not asked:
        return []
    conversations = [one.question.conversation for one in asked]
    thinking = [one.question.thinking for one in asked]
    return job.task.answers(job.model, job.tokenizer, conversations, max_new_tokens=room, thinking=thinking)
