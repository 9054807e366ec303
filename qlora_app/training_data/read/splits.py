"""Which of several files are learned, measured with, or kept apart, by what they are called: train, valid, test."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import NamedTuple, TypeVar

TRAIN, VALIDATION, TEST = "train", "validation", "test"
ALL = "all"  # every file is learned, whatever it is called
_TRAIN = (
    "train|training|trn|trains|trainings|entrainement|apprentissage|entrenamiento|treino|treinamento|"
    "addestramento|allenamento|apprendimento|trening|treningowy|treningowe|traning|træning|egitim|"
    "обучение|обучающая|обучающий|тренировка|навчання|تدريب"
)
_VALIDATION = (
    "validation|valid|val|validate|dev|devel|development|eval|evaluation|validations|validierung|"
    "validierungs|evaluierung|validacion|validacao|validazione|validatie|walidacja|walidacyjny|"
    "walidacyjne|validering|dogrulama|evaluacion|avaliacao|evaluatie|валидация|проверка|оценка|валідація|"
    "تحقق"
)
_TEST = (
    "test|testing|tests|tst|heldout|holdout|unseen|prueba|pruebas|teste|testes|testowy|testowe|prova|"
    "prove|prufung|тест|тесты|тестирование|اختبار"
)
_STEMS = {  # of words that are inflected, or written without spaces
    **dict.fromkeys(("训练", "訓練", "学習", "학습", "훈련", "обучающ", "тренировоч", "навчальн"), TRAIN),
    **dict.fromkeys(("验证", "驗證", "検証", "검증", "валидацион", "проверочн", "оценочн"), VALIDATION),
    **dict.fromkeys(("测试", "測試", "テスト", "评估", "評估", "評価", "테스트", "평가", "тестов"), TEST),
}


def _plain(text: str) -> str:
    """In small letters without accents."""
    apart = unicodedata.normalize("NFKD", text.lower())
    return unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", apart))


_NAMES = {
    **dict.fromkeys(_plain(_TRAIN).split("|"), TRAIN),
    **dict.fromkeys(_plain(_VALIDATION).split("|"), VALIDATION),
    **dict.fromkeys(_plain(_TEST).split("|"), TEST),
}
_SHARD = re.compile(r"\d+|of|part|shard|split|data|set|fold|file|dataset|rows|examples")
_JOINED = "set|sets|data|dataset|daten|datensatz|satz|menge|file|split|samples|examples|rows|qa|faq|sft|chat|corpus"
_BESIDE = set(_JOINED.split("|"))  # what a name of a split is written together with
_COMPOUND = {word: split for word, split in _NAMES.items() if word.isascii() and len(word) > 2}
_PROSE = (".md", ".txt", ".docx", ".odt", ".pdf", ".epub", ".html", ".htm")
Named = TypeVar("Named")


class _Called(NamedTuple):
    """What a path says: a split, the words of its name beside that, whether a file or a folder is called just so, and
    whether it is a text, which may be about tests.
    """

    split: str
    rest: tuple[str, ...]
    is_whole: bool
    is_prose: bool


def split_of_name(name: str) -> str:
    """The split that a name of rows, such as a key or a sheet, stands for; empty where it stands for none."""
    return _split_of_words(_words(name), {})


def split_of_path(path: str) -> str:
    """The split that a file is called by, as a word of its name or of a folder's; empty where it is called by none."""
    return _called(path, {}).split


def by_split(files: Sequence[tuple[str, Named]]) -> dict[str, list[Named]]:
    """{split: its files} of (path, file); all of them under an empty name where they are no splits of one another.

    A file of no split is learned beside those to train on.
    """
    pairs = _compounds(path for path, _ in files)
    found: dict[str, list[Named]] = defaultdict(list)
    called: dict[str, list[_Called]] = defaultdict(list)
    for path, file in files:
        one = _called(path, pairs)
        found[one.split].append(file)
        called[one.split].append(one)
    measured = set(found) - {TRAIN, ""}
    if not measured or not (TRAIN in found or _belong(called)):
        return {"": [file for _, file in files]}
    made = {TRAIN: [*found.pop(TRAIN, []), *found.pop("", [])]}
    return {**made, **{split: found[split] for split in (VALIDATION, TEST) if split in found}}


def held_out_split(splits: Sequence[str]) -> str:
    """The split that is measured with where nobody named one; empty without any."""
    return next((split for split in (VALIDATION, TEST) if split in splits), "")


def _belong(called: dict[str, list[_Called]]) -> bool:
    """Where no file is called train: are those of a split kept apart from the others?

    They are if they are called just so, as the others without the word, or one thing alone, which two topics are not.
    """
    plain = {one.rest for one in called.get("", [])}
    others = [one for split, ones in called.items() if split for one in ones if not one.is_whole]
    rests = {one.rest for one in others}
    is_one_thing = len(rests) < 2 and not any(one.is_prose for one in others)
    return bool(plain) and (is_one_thing or rests <= plain)


def _called(path: str, pairs: dict[str, str]) -> _Called:
    """What a path says, by the nearest part of it that names a split."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    own = _words(parts[-1].partition(".")[0] if parts else "")
    rest = tuple(word for word in own if not _split_of(word, pairs) and not _SHARD.fullmatch(word))
    is_prose = path.lower().endswith(_PROSE)
    for words in (own, *(_words(part) for part in reversed(parts[:-1]))):
        if split := _split_of_words(words, pairs):
            others = [word for word in words if not _split_of(word, pairs) and not _SHARD.fullmatch(word)]
            return _Called(split, rest, not others, is_prose)
    return _Called("", rest, False, is_prose)


def _split_of_words(words: list[str], pairs: dict[str, str]) -> str:
    found = {split for word in words if (split := _split_of(word, pairs))}
    return found.pop() if len(found) == 1 else ""


def _split_of(word: str, pairs: dict[str, str]) -> str:
    if split := _NAMES.get(word) or pairs.get(word):
        return split
    if not word.isascii():
        return next((split for stem, split in _STEMS.items() if stem in word), "")
    return next((split for split, rest in _apart(word) if rest in _BESIDE), "")


def _apart(word: str) -> list[tuple[str, str]]:
    """[(split, what is left of a word)] for every name of a split that it begins or ends with."""
    begun = [(split, word.removeprefix(name)) for name, split in _COMPOUND.items() if word.startswith(name)]
    ended = [(split, word.removesuffix(name)) for name, split in _COMPOUND.items() if word.endswith(name)]
    return [*begun, *ended]


def _compounds(paths: Iterable[str]) -> dict[str, str]:
    """{word: its split} of words such as `hotelstrain` and `hotelstest`, which say it only beside one another."""
    rests: dict[str, dict[str, str]] = defaultdict(dict)
    for path in paths:
        for word in _words(PurePosixPath(path.replace("\\", "/")).name.partition(".")[0]):
            rests_of_word = {rest: split for split, rest in _apart(word) if rest}
            for rest, split in rests_of_word.items():
                rests[rest][word] = split
    beside = [words for words in rests.values() if TRAIN in words.values() and len(set(words.values())) > 1]
    return {word: split for words in beside for word, split in words.items()}


def _words(name: str) -> list[str]:
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    joined = re.sub(r"held[-_ ]out|hold[-_ ]out", "heldout", _plain(apart))
    return re.findall(r"[^\W\d_]+|\d+", joined)
