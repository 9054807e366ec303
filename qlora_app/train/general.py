"""What was forgotten: general questions that base and adapter are asked at the end of a run."""

from ..evaluate.general import KINDS, general_questions
from ..runs.general_answers import GeneralAnswer
from ..runs.proof import General
from .scoring import answers_within
from .setup import TrainingSetup

SHARE, LEAST_SECONDS = 0.05, 60.0  # of the time of the training that asking may take, and what is always given


def ask_general(job: TrainingSetup, seconds: float) -> General:
    """On as many as can be answered in a small part of the `seconds` that the training took. The answers are kept in
    the run's folder.
    """
    asked = job.questions.general
    if not asked:
        return General()
    known = {one.text: one for one in general_questions()}
    given = answers_within(job, asked, general_seconds(seconds))
    rows = []
    for place in sorted(given["after"]):
        question = known[asked[place].question.text]
        before, after = given["before"][place].text, given["after"][place].text
        rows.append(
            GeneralAnswer(
                question.kind, question.text, before, after, question.is_right(before), question.is_right(after)
            )
        )
    job.out.write_general_answers([one.to_json() for one in rows])
    return counted(rows, len(asked) - len(rows))


def general_seconds(training: float) -> float:
    """How long it may take after so many seconds of training."""
    return max(SHARE * training, LEAST_SECONDS)


def counted(rows: list[GeneralAnswer], not_asked: int = 0) -> General:
    """What the answers come to."""
    kinds: dict[str, dict[str, int]] = {}
    for kind in KINDS:
        of_kind = [one for one in rows if one.kind == kind]
        if of_kind:
            right = {"before": sum(one.was_right for one in of_kind), "after": sum(one.is_right for one in of_kind)}
            kinds[kind] = {"questions": len(of_kind), **right}
    return General(
        questions=len(rows),
        before=sum(one.was_right for one in rows),
        after=sum(one.is_right for one in rows),
        lost=sum(one.was_right and not one.is_right for one in rows),
        gained=sum(one.is_right and not one.was_right for one in rows),
        not_asked=not_asked,
        kinds=kinds,
    )
