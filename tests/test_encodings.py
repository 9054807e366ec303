# ruff: noqa: RUF001  letters of many scripts
"""In which encoding a file is: nearly UTF-8 stays UTF-8, others are recognised, shown, and can be named."""

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.errors import UserError
from qlora_app.training_data import DatasetChoice, import_file, load_examples
from qlora_app.training_data.conversations import read_file
from qlora_app.training_data.read import encodings
from qlora_app.training_data.read.reading import ReadAs

TEXTS = {  # a question and an answer, in encodings that people's files are in
    "cp1251 koi8_r iso8859_5 cp866": (
        "Сколько кур живёт во дворе у мельника?",
        "У мельника во дворе живут пять белых кур.",
    ),
    "gbk gb18030": ("磨坊主的院子里有几只鸡？", "院子里有五只白色的母鸡。"),
    "big5": ("蘋果是什麼顏色的？", "蘋果是紅色的，有時候也是綠色的。"),
    "shift_jis euc_jp cp932": ("庭には鶏が何羽いますか？", "庭には白い鶏が五羽います。"),
    "euc_kr": ("마당에는 닭이 몇 마리 있습니까?", "하얀 닭이 다섯 마리 있습니다."),
    "cp1250 iso8859_2": ("Ile kur żyje na podwórku młynarza?", "Na podwórku żyje pięć białych kur, źle śpią."),
    "cp1252": (
        "Wie viele Hühner leben auf dem Hof des Müllers?",
        "Fünf weiße Hühner leben dort, sie schlafen schlecht.",
    ),
    "cp1253": ("Πόσες κότες ζουν στην αυλή του μυλωνά;", "Στην αυλή ζουν πέντε άσπρες κότες."),
    "cp1254": ("Değirmencinin bahçesinde kaç tavuk yaşıyor?", "Bahçede beş beyaz tavuk yaşıyor, kötü uyuyorlar."),
    "utf-16 utf-16-le": ("Where do the hens live?", "In Köln, nahe 橋."),
}
CASES = [(encoding, *pair) for names, pair in TEXTS.items() for encoding in names.split()]


def written(rows, kind) -> str:
    if kind == "jsonl":
        return "".join(json.dumps({"question": q, "answer": a}, ensure_ascii=False) + "\n" for q, a in rows)
    return "question|answer\r\n" + "".join(f"{q}|{a}\r\n" for q, a in rows)


def read(tmp_path, content: bytes, **how):
    (tmp_path / "mine.txt").write_bytes(content)
    return read_file(tmp_path / "mine.txt", "mine.txt", how=ReadAs(**how))


@pytest.mark.daily(5)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@pytest.mark.parametrize("count", [1, 300])
@pytest.mark.parametrize(("encoding", "asked", "said"), CASES, ids=[case[0] for case in CASES])
def test_encodings_are_recognised_in_short_and_long_files_and_shown(tmp_path, encoding, asked, said, kind, count):
    rows = [(asked, said)] + [(f"{asked} {i}", said) for i in range(1, count)]
    found = read(tmp_path, written(rows, kind).encode(encoding))
    assert [one[0]["content"] for one in found.conversations] == [question for question, _ in rows]
    assert all(one[1]["content"] == said for one in found.conversations)
    if not encoding.startswith("utf"):
        assert "is not UTF-8, so it was read as" in found.warnings[0] and asked.split()[0][:8] in found.warnings[0]
        assert "dataset.encoding" in found.warnings[0]


@pytest.mark.parametrize(
    "text", ["In Köln.", "A café", "It’s a “hen”.", "5 € or 4 £", "mañana", "¿Dónde está?", "Perché è così?"]
)
def test_a_letter_or_two_in_an_english_text_are_western(tmp_path, text):
    found = read(tmp_path, written([("Where is it?", text)], "csv").encode("cp1252"))
    assert found.conversations[0][1]["content"] == text and "Windows-1252" in found.warnings[0]


@settings(max_examples=60)
@given(
    bad=st.lists(
        st.tuples(st.integers(0, 39), st.sampled_from([0xE8, 0xFF, 0x80, 0xC3, 0xF0])), min_size=1, max_size=4
    ),
    word=st.sampled_from(["苹果是什么颜色", "Wie schön sind die Hühner", "кур", "plain English with one “quote”"]),
)
def test_nearly_utf_8_stays_utf_8_and_every_line_is_named(tmp_path, bad, word):
    """A broken byte stands between two ASCII letters, so that nothing else is lost."""
    lines = [
        json.dumps({"question": f"{word} {i}?", "answer": f"a{word}@z{i}"}, ensure_ascii=False).encode()
        for i in range(40)
    ]
    broken = dict(bad)
    made = [
        line.replace(b"@", bytes([broken[i]])) if i in broken else line.replace(b"@", b"")
        for i, line in enumerate(lines)
    ]
    found = read(tmp_path, b"\n".join(made))
    answers = [one[1]["content"] for one in found.conversations]
    assert answers == [f"a{word}{chr(0xFFFD) if i in broken else ''}z{i}" for i in range(40)]
    assert f"{len(broken):,} of its bytes fit nothing" in found.warnings[0] and "UTF-8" in found.warnings[0]
    for line in sorted(broken):
        column = made[line].index(bytes([broken[line]]) + b"z") + 1
        assert f"{line + 1}:{column} ({broken[line]:#04x})" in found.warnings[0]
    assert any(text.startswith("Control characters or broken letters in") for text in found.warnings), (
        "the rows say so too"
    )


def test_a_file_that_breaks_late_is_nearly_utf_8(tmp_path, monkeypatch):
    monkeypatch.setattr(encodings, "_CHUNK", 1000)
    lines = [f'{{"question": "schön {i}", "answer": "größer"}}'.encode() for i in range(900)]
    lines[800] = lines[800].replace("ß".encode(), b"\xdf")
    found = read(tmp_path, b"\n".join(lines))
    assert found.conversations[800][1]["content"] == "gr\u00f6\ufffder" and "801:" in found.warnings[0]
    assert found.conversations[799][1]["content"] == "größer"


@pytest.mark.parametrize("encoding", sorted(set(encodings.ENCODINGS) - {"auto", "utf-8", "utf-16"}))
def test_a_person_can_say_what_it_is(tmp_path, encoding):
    letters = [
        chr(code) for code in range(0xA1, 0x3000) if chr(code).isalpha() and chr(code).encode(encoding, "ignore")
    ]
    word = "".join(random.Random(3).sample(letters, min(20, len(letters))))
    rows = [(f"{word} {i}?", word) for i in range(12)]
    upload = tmp_path / "mine.csv"
    upload.write_bytes(written(rows, "csv").encode(encoding))
    try:
        id = import_file(upload, tmp_path / "data", "mine.csv")
    except UserError:
        return  # a text of all letters there are need not be recognised
    choice = DatasetChoice(source="file", id=id, encoding=encoding, held_out_share=0)
    examples = load_examples(choice, tmp_path / "data")
    assert [one[1]["content"] for one in examples.train] == [word] * 12 and "not UTF-8" not in " ".join(
        examples.warnings
    )


def test_what_does_not_fit_the_named_encoding_is_said(tmp_path):
    found = read(tmp_path, written([("schön?", "größer")] * 3, "csv").encode("cp1252"), encoding="utf-8")
    assert found.conversations[0][0]["content"] == "sch\ufffdn?" and "9 of its bytes fit nothing" in found.warnings[0]


@pytest.mark.parametrize(
    "content", [b"\x80\xff\x81\xfe{" * 50, bytes(range(1, 256)) * 9, b"\x01\x02\x9f\x8e\x05 text \xfe\xff\xfd" * 20]
)
def test_what_is_no_text_is_refused(tmp_path, content):
    with pytest.raises(UserError):
        read(tmp_path, content)
