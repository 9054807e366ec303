"""Do those who judge agree? A judged thing is a question with the pair of models that answered it.

Cohen (1960), A coefficient of agreement for nominal scales; Fleiss (1971), Measuring nominal scale agreement among many
raters, with a number of raters that may differ from thing to thing; Krippendorff (2004), Content analysis: alpha for
nominal data.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

from .rows import Judgment

Labels = dict[str, dict[Any, str]]  # of each rater: of each judged thing the model that won, or TIE
TIE = "\0tie"
MOST_PAIRS = 50  # of raters, those with most in common


@dataclass(frozen=True)
class Agreement:
    """Of two sides on the things that both judged. kappa: None where both always say the same one word."""

    first: str
    second: str
    things: int
    agree: float  # share, from 0 to 1
    kappa: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class AgreementOfAll:
    """None where too few judged the same thing. pairs: of raters; judges: each against the majority of the people."""

    things: int  # judged by two raters or more
    raters: int
    alpha: float | None
    fleiss: float | None
    pairs: tuple[Agreement, ...] = ()
    judges: tuple[Agreement, ...] = ()

    def to_json(self) -> dict[str, Any]:
        rows = {name: [one.to_json() for one in getattr(self, name)] for name in ("pairs", "judges")}
        return {"things": self.things, "raters": self.raters, "alpha": self.alpha, "fleiss_kappa": self.fleiss, **rows}


def agreement(rows: Iterable[Judgment], judges: Sequence[str] = ()) -> AgreementOfAll:
    """Of all raters that have a name, on questions that have one. judges: those who are no people."""
    said = labels_of(rows)
    counts = [Counter(words) for words in _by_thing(said).values() if len(words) > 1]
    pairs = [_between(said, first, second) for first, second in combinations(sorted(said), 2)]
    common = sorted((one for one in pairs if one.things), key=lambda one: -one.things)
    people = {rater: labels for rater, labels in said.items() if rater not in judges}
    with_people = said | {"people": majority(people)}
    return AgreementOfAll(
        len(counts),
        len(said),
        alpha(counts),
        fleiss_kappa(counts),
        tuple(common[:MOST_PAIRS]),
        tuple(_between(with_people, judge, "people") for judge in judges if judge in said),
    )


def labels_of(rows: Iterable[Judgment]) -> Labels:
    """What each rater said. One who was asked in both orders, and said both, said that neither is better."""
    heard: dict[str, dict[Any, set[str]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if row.rater and row.question:
            winner = {"a": row.model_a, "b": row.model_b, "tie": TIE}[row.winner]
            heard[row.rater][(row.question, row.pair)].add(winner)
    return {
        rater: {thing: next(iter(words)) if len(words) == 1 else TIE for thing, words in things.items()}
        for rater, things in heard.items()
    }


def majority(said: Labels) -> dict[Any, str]:
    """What most of some raters say of each thing; where two words were said as often, that neither is better."""
    words = {thing: Counter(labels).most_common(2) for thing, labels in _by_thing(said).items()}
    return {thing: most[0][0] if len(most) == 1 or most[0][1] > most[1][1] else TIE for thing, most in words.items()}


def cohen_kappa(first: Mapping[Any, str], second: Mapping[Any, str]) -> float | None:
    """Of two raters, on what both judged. None where nothing can be told from that."""
    common = first.keys() & second.keys()
    if not common:
        return None
    observed = sum(first[thing] == second[thing] for thing in common) / len(common)
    mine, theirs = (Counter(said[thing] for thing in common) for said in (first, second))
    expected = sum(mine[word] * theirs[word] for word in mine) / len(common) ** 2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def fleiss_kappa(counts: Sequence[Counter[str]]) -> float | None:
    """counts: of each thing how many said which word, two or more in all."""
    if not counts:
        return None
    words = _sum(counts)
    observed = sum(_pairs_alike(one) for one in counts) / len(counts)
    expected = sum((count / words.total()) ** 2 for count in words.values())
    return None if expected == 1 else (observed - expected) / (1 - expected)


def alpha(counts: Sequence[Counter[str]]) -> float | None:
    """Krippendorff's, nominal. counts: as above. 1: all agree; 0: as chance would have it."""
    words = _sum(counts)
    n = words.total()
    unlike = sum(one.total() * (1 - _pairs_alike(one)) for one in counts)
    by_chance = n * n - sum(count * count for count in words.values())
    return None if not by_chance else 1 - (n - 1) * unlike / by_chance


def _pairs_alike(count: Counter[str]) -> float:
    """Of all pairs of raters of one thing the share that agrees."""
    n = count.total()
    return sum(k * (k - 1) for k in count.values()) / (n * (n - 1))


def _sum(counts: Sequence[Counter[str]]) -> Counter[str]:
    words: Counter[str] = Counter()
    for one in counts:
        words.update(one)
    return words


def _by_thing(said: Labels) -> dict[Any, list[str]]:
    words: dict[Any, list[str]] = defaultdict(list)
    for labels in said.values():
        for thing, word in labels.items():
            words[thing].append(word)
    return words


def _between(said: Mapping[str, Mapping[Any, str]], first: str, second: str) -> Agreement:
    mine, theirs = said[first], said[second]
    common = mine.keys() & theirs.keys()
    agree = sum(mine[thing] == theirs[thing] for thing in common) / len(common) if common else 0.0
    return Agreement(first, second, len(common), agree, cohen_kappa(mine, theirs))
