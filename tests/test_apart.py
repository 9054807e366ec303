# ruff: noqa: RUF001  what families cut by has signs of many scripts
"""What a foreign tokenizer does with a text is bounded: it is made as published ones are, or it does it elsewhere."""

import copy
import json
import random

import pytest
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from qlora_app.base_models import ModelChoice, apart, load_tokenizer
from qlora_app.base_models.apart import Apart, keep_apart
from qlora_app.base_models.ordinary import GROWTH, MOST_TIMES_IN_ALL, WRITTEN, are_harmless, is_ordinary
from qlora_app.base_models.patterns import is_linear
from tests.real_tokenizers import REAL, real_tokenizer
from tests.refusing import refused
from tests.tiny_models import of_a_decoder, of_bert, of_deberta, of_roberta, of_t5

SHORTENED = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
BEFORE = r"[^\r\n\p{L}\p{N}]?"
BLANKS = r"\s*[\r\n]+|\s+(?!\S)|\s+"
PUBLISHED = (
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    rf"{SHORTENED}|{BEFORE}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{BLANKS}",
    rf"{SHORTENED}|{BEFORE}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{BLANKS}",
    rf"{BEFORE}{UPPER}*{LOWER}+{SHORTENED}?|{BEFORE}{UPPER}+{LOWER}*{SHORTENED}?|\p{{N}}{{1,3}}|{BLANKS}",
    rf"{BEFORE}{UPPER}*{LOWER}+|{BEFORE}{UPPER}+{LOWER}*|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{BLANKS}",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|"
    r"\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|" + BLANKS,
    r" ?[^(\s|.,!?…。，、।۔،)]+",
    "[一-龥ぁ-ゟ゠-ヿ]+",
    "[^\n]+|[\n]+",
    "[\r\n]",
    r"\s?\p{P}+",
    r"[\p{P}\$\+<=>\^~\|`]+",
    "[0-9][0-9][0-9]",
    " {2,}",
    r"\s+",
)
GOES_BACK = (
    *("(a+)+", "(a|a)*b", "(a*)*b", "a*a*a*b", r"(\w+)\s+\1+x", "(?=(a+)+b)a", "(?<=a+)b", "(a{1,1000}){1,1000}b"),
    *("a?a?a?a?a?a?a?aaaaaaa", "(?:a|ab|b)(?:a|b|ab)(?:a|ba|b)(?:ab|a|b)(?:a|b|ab)", "a{1,99}a{1,99}b", "a{9999}"),
    *("(?:a|aa){2,9}b", "a+?b", "a+b", "[ab]*c", ".*x", "a++b", "(?>a+)b", r"\Ga+b", "(?i)a+b", r"\X+b", "a+a{05}"),
    *("[[]a+]b", "[]a+]b", "(?x)a+ b", r"\Qa+\E", "(?:a*)*b", r"\s+$", r"\s*[\r\n]+", r"\s*[\r\n]+|\s|\s+(?!\S)"),
    *("[A]*[a]+", "[A]*[a]+|x|[A]+[a]*", "[A]*[a]+b|[A]+[a]*b", r"\d{1,3}(?=(?:\d{3})*\b)", "a|(b|c", "a|b)"),
)
ODD = r"\p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N}))"  # as some cut numbers: harmless, but not certainly


@pytest.mark.parametrize("pattern", PUBLISHED)
def test_patterns_of_published_families_are_known_to_be_harmless(pattern):
    assert is_linear(pattern)
    Regex(pattern)


@pytest.mark.parametrize("pattern", GOES_BACK)
def test_no_pattern_that_may_go_back_is_taken_for_harmless(pattern):
    assert not is_linear(pattern)
    assert not is_linear(f"x|{pattern}|y")
    assert not is_linear(f"{pattern}|b")


def made(model=None, **stages):
    tokenizer = Tokenizer(model or models.BPE({"a": 0, "b": 1, "ab": 2, " ": 3, "7": 4}, [("a", "b")]))
    for name, stage in stages.items():
        setattr(tokenizer, name, stage)
    return tokenizer


def with_added(*tokens):
    tokenizer = made()
    tokenizer.add_tokens(list(tokens))
    return tokenizer


def around(count):
    return processors.TemplateProcessing(single=["a"] * count + ["$A"], pair=None, special_tokens=[("a", 0)])


def table(piece):
    """A table of SentencePiece without any character, and what would stand for one."""
    return normalizers.Precompiled((4).to_bytes(4, "little") + bytes(4) + piece + b"\0")


WORDS = {"[UNK]": 0, "a": 1}
UNUSUAL = {
    "a pattern that goes back": made(pre_tokenizer=pre_tokenizers.Split(Regex("a*a*b"), "isolated")),
    "one inside others": made(
        pre_tokenizer=pre_tokenizers.Sequence(
            [pre_tokenizers.Sequence([pre_tokenizers.Digits(), pre_tokenizers.Split(Regex("a*a*b"), "isolated")])]
        )
    ),
    "one that replaces": made(normalizer=normalizers.Replace(Regex("a*a*b"), "x")),
    "one that decodes": made(decoder=decoders.Sequence([decoders.Replace(Regex("a*a*b"), "x")])),
    "much of little": made(normalizer=normalizers.Replace("a", "a" * 1000)),
    "much of little by steps": made(normalizer=normalizers.Sequence([normalizers.Replace("a", "aaa")] * 4)),
    "much of little when decoded": made(decoder=decoders.Replace("a", "a" * 1000)),
    "a long prefix": made(normalizer=normalizers.Prepend("a" * 1000)),
    "a table that makes much of little": made(normalizer=table(b"a" * 1000)),
    "bytes of bytes": made(normalizer=normalizers.Sequence([normalizers.ByteLevel()] * 11)),
    "bytes of bytes by both": made(
        normalizer=normalizers.Sequence([normalizers.ByteLevel()] * 6),
        pre_tokenizer=pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(False, use_regex=False)] * 6),
    ),
    "table after table": made(normalizer=normalizers.Sequence([table(b"a" * 60)] * 2)),
    "a decoder that panics at a short token": made(decoder=decoders.Strip(" ", 0, 1)),
    "such a one among others": made(decoder=decoders.Sequence([decoders.Fuse(), decoders.Strip(" ", 1, 1)])),
    "something between all letters": made(normalizer=normalizers.Replace("", "a")),
    "nothing as a prefix": made(normalizer=normalizers.Prepend("")),
    "something where nothing is": made(normalizer=normalizers.Replace(Regex("x*"), "a")),
    "thousands of steps": made(normalizer=normalizers.Sequence([normalizers.NFC()] * 1000)),
    "much around each text": made(post_processor=around(5000)),
    "long words": made(models.WordPiece(WORDS, unk_token="[UNK]", max_input_chars_per_word=10**9)),
    "long tokens": made(models.BPE({"a": 0, "a" * 9000: 1}, [])),
    "long tokens of Unigram": made(models.Unigram([("u", 0.0), ("a" * 1000, -1.0)], 0, False)),
    "chance": made(models.BPE({"a": 0}, [], dropout=0.5)),
    "letters that take blanks": with_added(AddedToken("a", lstrip=True)),
}


@pytest.mark.parametrize("name", UNUSUAL)
def test_what_no_published_tokenizer_does_is_noticed(name):
    assert not is_ordinary(UNUSUAL[name])


def test_every_kind_of_part_is_known():
    bases = {"Normalizer", "PreTokenizer", "PostProcessor", "Decoder", "DecodeStream", "NORMALIZERS"}
    rooms = (normalizers, pre_tokenizers, processors, decoders)
    kinds = {name for room in rooms for name in dir(room) if name[0].isupper()} - bases
    assert kinds == {*GROWTH, *WRITTEN, "Precompiled"}
    assert not are_harmless([{"type": "Surprise"}])


LENGTHENING = (
    *(normalizers.ByteLevel(), normalizers.NFKC(), normalizers.NFKD(), normalizers.NFD(), normalizers.NFC()),
    *(normalizers.Lowercase(), normalizers.BertNormalizer(strip_accents=False), normalizers.Prepend("\u2581")),
    *(normalizers.Replace(" ", "\u2581"), normalizers.Replace("", "x"), normalizers.Replace(Regex("x+"), "\ufdfa")),
)
LONG_WHEN_WRITTEN_OUT = ("\xe9", "\ufdfa", "\u0390", "\u0130", " ", "\x00", "\u5b57", "\U0001f642", "x")


def test_what_passes_makes_of_a_text_at_most_so_much():
    chance, passed = random.Random(0), 0
    for _ in range(300):
        parts = chance.choices(LENGTHENING, k=chance.randint(1, 8))
        stage = normalizers.Sequence(parts)
        if not are_harmless([json.loads(stage.__getstate__())]):
            continue
        passed += 1
        for text in LONG_WHEN_WRITTEN_OUT:
            assert len(stage.normalize_str(text * 8).encode()) <= MOST_TIMES_IN_ALL * len(text.encode() * 8), parts
    assert passed > 40


@pytest.mark.parametrize("scheme", ["always", "never"])
def test_pieces_become_at_most_so_much_longer(scheme):
    for stage in (
        pre_tokenizers.Metaspace("\U0001f642", scheme),
        pre_tokenizers.ByteLevel(scheme == "always", use_regex=False),
    ):
        (whole,) = [json.loads(stage.__getstate__())]
        most = GROWTH[whole["type"]] * (2 if whole.get("add_prefix_space") else 1)
        for text in LONG_WHEN_WRITTEN_OUT:
            pieces = [piece for piece, _ in stage.pre_tokenize_str(text)]
            assert len("".join(pieces).encode()) <= most * len(text.encode())


@pytest.mark.parametrize("new", [of_a_decoder, of_bert, of_deberta, of_roberta, of_t5])
def test_a_usual_tokenizer_works_here(new):
    tokenizer = new()
    here = tokenizer._tokenizer
    keep_apart(tokenizer)
    assert tokenizer._tokenizer is here
    assert is_ordinary(made(normalizer=table("صلى الله عليه وسلم".encode())))


@pytest.mark.parametrize("name", sorted({"deepseek_v31", "mistral_v03"}.intersection(REAL)))
def test_a_published_tokenizer_works_here(name):
    assert is_ordinary(real_tokenizer(name)._tokenizer)


def unusual(pattern=ODD):
    """A tokenizer of transformers whose pattern is not known."""
    tokenizer = of_a_decoder()
    tokenizer._tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return tokenizer


def test_a_tokenizer_apart_says_what_it_would_say_here(tmp_path):
    unusual().save_pretrained(tmp_path)
    apart_, here = load_tokenizer(ModelChoice(source="folder", id=str(tmp_path))), unusual()
    assert isinstance(apart_._tokenizer, Apart)
    texts = ["The year 1234567, öä 字 🙂", "", "a<|pad|>b\n\n  c" * 50]
    for how in ({}, {"return_offsets_mapping": True}, {"padding": True}, {"truncation": True, "max_length": 7}):
        assert dict(apart_(texts, **how)) == dict(here(texts, **how))
    assert apart_(texts).word_ids(0) == here(texts).word_ids(0)
    ids = here(texts[0])["input_ids"]
    assert apart_.decode(ids) == here.decode(ids)
    assert apart_.decode(ids[0]) == here.decode(ids[0])
    assert apart_.batch_decode([ids, ids[:2]], skip_special_tokens=True) == here.batch_decode([ids, ids[:2]])
    assert apart_.tokenize(texts[0]) == here.tokenize(texts[0])
    letters = copy.deepcopy(apart_)
    letters.split_special_tokens = letters.backend_tokenizer.encode_special_tokens = True
    assert letters("<|pad|>")["input_ids"] != apart_("<|pad|>")["input_ids"] == here("<|pad|>")["input_ids"]
    assert apart_.add_tokens(["year"]) == here.add_tokens(["year"]) == 1
    assert apart_(texts)["input_ids"] == here(texts)["input_ids"]
    apart_.save_pretrained(tmp_path / "saved")
    assert transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")(texts) == here(texts)


def test_a_text_without_end_is_refused_and_the_next_one_is_not(monkeypatch):
    monkeypatch.setattr(apart, "SECONDS", 0.5)
    tokenizer = Apart(made(pre_tokenizer=pre_tokenizers.Split(Regex("a*a*b"), "isolated")))
    for text in ("a" * 3000 + "cb", "a" * 4000 + "cb"):  # from each place fewer ways than the library itself allows
        with refused("model.tokenizer_takes_long", "aaaa"):
            tokenizer.encode(text)
        assert tokenizer.encode("ab").tokens == ["ab"]


@pytest.mark.parametrize("name", ["much of little by steps", "much around each text", "much of little"])
def test_what_makes_much_of_little_is_refused(name):
    with refused("model.tokenizer_takes_long"):
        Apart(UNUSUAL[name]).encode("a" * 100)


def test_a_text_at_which_a_library_panics_is_refused():
    tokenizer = Apart(made(pre_tokenizer=pre_tokenizers.Split(Regex("(a|a|aa)+b"), "isolated")))
    with refused("model.tokenizer_fails", "aaaa"):
        tokenizer.encode("a" * 30)
    assert tokenizer.encode("ab").tokens == ["ab"]


def test_a_process_that_is_gone_is_started_anew():
    tokenizer = Apart(made())
    tokenizer.encode("ab")
    before = tokenizer._process
    apart._send(before, b"")  # it ends, as it does when nobody asks it
    before.wait()
    assert tokenizer.encode("ab").ids == [2]
    assert tokenizer._process is not before


@pytest.mark.slow  # a process that imports transformers
def test_a_tokenizer_that_does_not_end_while_it_is_opened_is_refused(tmp_path):
    unusual().save_pretrained(tmp_path)
    known = json.loads((tmp_path / "tokenizer.json").read_text())
    known["normalizer"] = {"type": "Replace", "pattern": {"Regex": "(a|aa)+$"}, "content": "x"}
    choice = ModelChoice(source="folder", id=str(tmp_path))
    (tmp_path / "tokenizer.json").write_text(json.dumps(known))
    assert isinstance(load_tokenizer(choice)._tokenizer, Apart)
    added = known["added_tokens"][-1]
    known["added_tokens"].append(added | {"id": 600, "content": "a" * 40 + "b", "normalized": True, "special": False})
    (tmp_path / "tokenizer.json").write_text(json.dumps(known))
    with refused("model.tokenizer_opens_slowly"):
        load_tokenizer(choice)
