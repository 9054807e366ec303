"""What a row says of two models, in the words of people, judges and other programs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ...errors import UserError

Winner = Literal["a", "b", "tie"]
NAMES = {  # ours first, then those of FastChat, of MT-bench and of the QLoRA repository
    "question": ("question", "question_id", "prompt_id", "prompt"),
    "model_a": ("model_a", "model_1", "model1", "a"),
    "model_b": ("model_b", "model_2", "model2", "b"),
    "winner": ("winner", "score", "vote", "preference"),
    "rater": ("rater", "judge", "reviewer", "reviewer_id", "annotator", "worker_id", "user"),
    "category": ("category",),
    "checksum_a": ("checksum_a",),
    "checksum_b": ("checksum_b",),
}
BOTH_ORDERS = ("g1_winner", "g2_winner")  # of MT-bench, whose judges see a pair twice
SCORES = (("score_a", "score_b"), ("score_1", "score_2"), ("score1", "score2"))
ONE_OF_THREE: dict[str, Winner] = {"winner_model_a": "a", "winner_model_b": "b", "winner_tie": "tie"}
SCHEMA: dict[str, Winner] = {
    "a": "a",
    "b": "b",
    "tie": "tie",
    "model_a": "a",
    "model_b": "b",
}  # whatever a model's name
WINNERS: dict[str, Winner] = {
    **dict.fromkeys(("model_1", "model1", "1", "left", "first", "answer1", "assistant a", "answer a"), "a"),
    **dict.fromkeys(("model_2", "model2", "2", "right", "second", "answer2", "assistant b", "answer b"), "b"),
    **dict.fromkeys(("3", "c", "draw", "both", "equal", "equally good", "neither", "both good", "both_good"), "tie"),
    **dict.fromkeys(("both bad", "both_bad", "bothbad", "a=b", "a = b"), "tie"),
    **dict.fromkeys(("a>b", "a>>b", "b<a", "b<<a"), "a"),
    **dict.fromkeys(("b>a", "b>>a", "a<b", "a<<b"), "b"),
}
PAIR_IN_NAME = re.compile(r"^(?P<a>.+?)[-_]vs[-_](?P<b>.+?)(?:[-_]gpt-[\w.]+)?(?:[-_]reviewer)?(?:[-_]threeclass)?$")
OF_A_NAME = 6  # characters of a checksum, behind a name that stands for several models
_TWO_SCORES = re.compile(r"[\[(]?\s*(-?\d+(?:\.\d+)?)\s*[,;/\s]\s*(-?\d+(?:\.\d+)?)\s*[\])]?")


@dataclass(frozen=True)
class Judgment:
    """One answer of two was better, or neither was. question, rater, category and the checksums of what answered are ""
    where they are not known.
    """

    model_a: str
    model_b: str
    winner: Winner
    question: str = ""
    rater: str = ""
    category: str = ""
    checksum_a: str = ""
    checksum_b: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)

    @property
    def pair(self) -> tuple[str, str]:
        """Both models, by name: whichever stood first."""
        return (self.model_a, self.model_b) if self.model_a < self.model_b else (self.model_b, self.model_a)

    @property
    def score(self) -> float:
        """What model_a gets: 1, 0, or a half of a tie."""
        return {"a": 1.0, "b": 0.0, "tie": 0.5}[self.winner]


def told_apart(rows: Sequence[Judgment]) -> tuple[list[Judgment], dict[str, int]]:
    """(the rows, in which a name that stands for several models has the beginning of the checksum behind it; {such a
    name: how many models}). The same name in another home, or of a run that was trained further, is another model.
    """
    known: dict[str, set[str]] = {}
    for row in rows:
        for name, checksum in ((row.model_a, row.checksum_a), (row.model_b, row.checksum_b)):
            known.setdefault(name, set()).update([checksum] if checksum else [])
    several = {name: len(some) for name, some in known.items() if len(some) > 1}

    def called(name: str, checksum: str) -> str:
        return f"{name} #{checksum[:OF_A_NAME] or '?'}" if name in several else name

    found = [
        replace(row, model_a=called(row.model_a, row.checksum_a), model_b=called(row.model_b, row.checksum_b))
        for row in rows
    ]
    return (found, several) if several else (list(rows), {})


def judgments_of(row: Any, file_name: str = "") -> list[Judgment]:
    """What one row says, its columns named as in NAMES, however they are written: one judgment, or one of each order.

    file_name: without its ending, which names the pair where the rows do not: A-vs-B. Raises UserError.
    """
    if not isinstance(row, Mapping):
        raise UserError("ratings.no_object", "A row is an object with model_a, model_b and winner.")
    columns = {re.sub(r"\s+", "_", str(name).strip().lower()): value for name, value in row.items()}
    said = {
        name: next((columns[one] for one in names if _is_said(columns.get(one))), None) for name, names in NAMES.items()
    }
    models = _models(said, file_name)
    known = {name: _text(said[name]) for name in ("question", "category", "checksum_a", "checksum_b")}
    known["rater"] = _rater(said["rater"])
    return [Judgment(*models, winner, **known) for winner in _winners(columns, said["winner"], models)]


def _models(said: Mapping[str, Any], file_name: str) -> tuple[str, str]:
    """Raises UserError where they are not named."""
    named = PAIR_IN_NAME.match(file_name)
    if named and said["model_a"] is None and said["model_b"] is None:
        first, second = named["a"], named["b"]
    else:
        first, second = (_text(said[name]) if _is_plain(said[name]) else "" for name in ("model_a", "model_b"))
    if not first or not second:
        raise UserError(
            "ratings.no_models",
            "The row names no two models in model_a and model_b. Where a file has one pair, its name may say it: "
            "NAME-vs-NAME.jsonl.",
        )
    if first == second:
        raise UserError("ratings.same_model", "The row sets {model} against itself.", model=first)
    return first, second


def _winners(columns: Mapping[str, Any], said: Any, models: tuple[str, str]) -> list[Winner]:
    """Raises UserError where nothing says it."""
    if any(_is_said(columns.get(name)) for name in BOTH_ORDERS) and not _is_said(columns.get("winner")):
        return [_winner(columns[name], models) for name in BOTH_ORDERS if _is_said(columns.get(name))]
    ticked = [winner for name, winner in ONE_OF_THREE.items() if _number(columns.get(name)) == 1]
    if len(ticked) == 1:
        return ticked
    for first, second in SCORES:
        pair = [_number(columns.get(first)), _number(columns.get(second))]
        if min(pair) >= 0:
            return [_of_scores(pair)]
    return [_winner(said, models)]


def _winner(said: Any, models: tuple[str, str]) -> Winner:
    """From a word, a name, the class 1, 2 or 3, or a pair of scores. Raises UserError."""
    pair = _pair_of(said)
    if pair is not None and min(pair) >= 0:  # -1 stands for a judgment that could not be read
        return _of_scores(pair)
    word = re.sub(r"\.0$", "", _text(said)).strip("[]* ")
    lower = word.lower()
    if lower in SCHEMA:
        return SCHEMA[lower]
    named = [one for one in models if one == word] or [one for one in models if one.lower() == lower]
    if len(named) == 1:
        return "a" if named[0] == models[0] else "b"
    if lower == "0":
        raise UserError(
            "ratings.zero",
            "A row says 0 for the winner: whether that is the first model or the second is not known. Write a, b or "
            "tie, or 1, 2 and 3.",
        )
    winner: Winner | None = "tie" if lower.startswith("tie ") else WINNERS.get(lower)
    if winner is None:
        raise UserError(
            "ratings.no_winner", "The row says {said!r} for the winner, which is neither a, b nor tie.", said=word
        )
    return winner


def _pair_of(said: Any) -> list[float] | None:
    if isinstance(said, str):
        found = _TWO_SCORES.fullmatch(said.strip())
        return [float(one) for one in found.groups()] if found else None
    if isinstance(said, list) and len(said) == 2:
        return [_number(one) for one in said]
    return None


def _of_scores(pair: list[float]) -> Winner:
    first, second = pair
    if first == second:
        return "tie"
    return "a" if first > second else "b"


def _number(value: Any) -> float:
    """-1 where it is none."""
    if isinstance(value, bool):
        return float(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return -1.0


def _rater(said: Any) -> str:
    """MT-bench names a judge and its prompt."""
    return "/".join(map(_text, said)) if isinstance(said, list) else _text(said)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _is_said(value: Any) -> bool:
    return value is not None and value != ""


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
