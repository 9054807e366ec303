# ruff: noqa: RUF001  letters of many scripts
"""From bytes to rows: every kind of file that people bring, what is asked where it is in doubt, and which files are
learned, measured with and kept apart.
"""

import bz2
import io
import json
import lzma
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app.errors import UserError
from qlora_app.settings import Settings
from qlora_app.training_data import DatasetChoice, import_file, load_examples
from qlora_app.training_data.conversations import read_file
from qlora_app.training_data.first_rows import first_rows
from qlora_app.training_data.read.asking import AskReading
from qlora_app.training_data.read.reading import ReadAs
from qlora_app.training_data.read.splits import by_split
from tests.fixtures.documents import docx, epub, packed, pdf, xlsx

ROWS = [{"instruction": f"What is {i}?", "output": f"It is {i}."} for i in range(12)]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
TABLE = [["Question", "Answer", "Owner"], *[[f"What is {i}?", f"It is {i}.", i] for i in range(12)]]
PAIRS = [(f"What is {i}?", f"It is {i}.") for i in range(12)]


@pytest.fixture
def read(tmp_path):
    """A file as conversations: (pairs or texts, everything that is said of it)."""

    def read(content, name="data.bin", **how):
        file = tmp_path / name
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        found = read_file(file, name, limits=Settings(), how=ReadAs(**how))
        texts = [tuple(turn["content"] for turn in one) for one in found.conversations]
        return [one[0] if len(one) == 1 else one for one in texts], "\n".join(found.warnings)

    return read


def arrow(kind: str) -> bytes:
    import pyarrow
    import pyarrow.feather

    table, buffer = pyarrow.Table.from_pylist(ROWS), io.BytesIO()
    if kind == "feather":
        pyarrow.feather.write_feather(table, buffer)
        return buffer.getvalue()
    writer = {"file": pyarrow.ipc.new_file, "stream": pyarrow.ipc.new_stream}[kind](buffer, table.schema)
    writer.write_table(table)
    writer.close()
    return buffer.getvalue()


def zstd(content: bytes) -> bytes:
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("kind", ["file", "stream", "feather"])
def test_arrow_is_read_by_its_bytes(read, kind):
    assert read(arrow(kind))[0] == PAIRS


@pytest.mark.parametrize("pack", [bz2.compress, lzma.compress, zstd])
def test_packed_files_are_unpacked_and_bounded(read, pack):
    assert read(pack(LINES.encode()))[0] == PAIRS
    with pytest.raises(UserError) as error:
        read(pack(b" " * 40_000_000))
    assert error.value.code == "archive.too_large"


def test_what_is_nearly_json_is_read_and_said(read):
    python = "".join(f"{row}\n" for row in ROWS)
    five = "// mine\n[" + ",".join(f"{{instruction: '{q}', output: \"{a}\",}}" for q, a in PAIRS) + ",]"
    trailing = json.dumps(ROWS, indent=1).replace('."\n', '.",\n')
    for content in (python, five, trailing, str(ROWS)):
        found, said = read(content)
        assert found == PAIRS and "not quite JSON" in said
    assert read(python + "{'a': __import__('os')}\n")[0] == PAIRS, "nothing in it is run"


def test_tables_in_json_are_read_by_their_names(read):
    swapped = [[a, q] for q, a in PAIRS]
    names = ["answer", "question"]
    for table in ({"columns": names, "data": swapped}, {"columns": names, "rows": swapped}, [names, *swapped]):
        assert read(json.dumps(table, indent=1))[0] == PAIRS


def test_a_text_that_begins_with_a_bracket_is_a_text(read):
    for text in ("[Contents](toc.md)\n\nThe river runs.", "{{Box}} The river\n\nruns on.", "[1] The river\n\nIt runs."):
        assert read(text)[0][0].startswith(text[:9])


def test_yaml_is_read_as_words_and_never_grows(read):
    rows = (
        "".join(f"- question: {q}\n  answer: |\n    {a}\n" for q, a in PAIRS)
        + "- question: yes\n  answer: 2020-01-01\n"
    )
    found, _ = read(rows)
    assert found[-1] == ("yes", "2020-01-01") and len(found) == 13
    with pytest.raises(UserError) as error:
        read("- a: &a [x, x]\n  b: &b [*a, *a]\n  c: [*b, *b]\n")
    assert error.value.code == "dataset.yaml_aliases"


# ---- tables


def test_lines_before_the_names_are_passed_over_and_said(read):
    body = "".join(f"{q};{a};Ann\n" for q, a in PAIRS)
    found, said = read(f"FAQ of our office;;\n;;\nQuestion;Answer;Owner\n{body}")
    assert found == PAIRS and "2 lines stand before" in said and "FAQ of our office" in said


def test_quotes_hold_empty_lines_without_a_header_too(read):
    found, _ = read("".join(f'"Read.\n\n{q}",a,b,c,d,D\n' for q, _ in PAIRS))
    assert len(found) == 12 and found[0][0].startswith("Read.\n\nWhat is 0?")


def test_a_lone_quote_swallows_no_line_however_late_it_comes(read):
    rows = [f"{'x' * 9} {i}\ty {i}\tz" for i in range(3000)]
    for place in (1500, 2900):
        rows[place] = '"' + rows[place]
    assert len(read("question\tanswer\tnote\n" + "\n".join(rows))[0]) == 3000
    found, said = read("question,answer,note\n" + "\n".join(rows).replace("\t", ","))
    assert len(found) == 3000 and "read as letters" in said


def test_how_a_table_is_read_can_be_said(read):
    text = "a b~c d\ne f~g h\n"
    assert read(text, pieces="lines")[0] == ["a b~c d", "e f~g h"]
    with pytest.raises(UserError) as error:
        read(text, delimiter="~", header="no")
    assert error.value.columns == ["col1", "col2"]
    found, _ = read('question,answer\n"a,"b\n"c,"d\n', quoting="no")
    assert found == [('"a', '"b'), ('"c', '"d')]


@settings(max_examples=60)
@given(
    rows=st.lists(st.tuples(*[st.text("ab \"',;\n\\", min_size=1, max_size=12)] * 2), min_size=1, max_size=8),
    delimiter=st.sampled_from(",;\t|"),
)
def test_what_the_csv_module_writes_is_read_again(tmp_path_factory, rows, delimiter):
    import csv

    rows = [(f"q{left}q", f"a{right}a") for left, right in rows if "\\" not in left + right]
    file = tmp_path_factory.mktemp("table") / "t.csv"
    with file.open("w", newline="") as opened:
        csv.writer(opened, delimiter=delimiter).writerows([("question", "answer"), *rows])
    if rows:
        found = read_file(file, "t.csv")
        assert [tuple(turn["content"] for turn in one) for one in found.conversations] == rows


AGAIN = [
    "{names}\n{rows}{names}\n{rows}",  # files one after another
    "{names}\n{rows}\ufeff{names}\n{rows}",
    "{names}\nstring,string\n{rows}",
    "{names}\n---,---\n{rows}",
    "User,Bot\n{names}\n{rows}",
]


@pytest.mark.parametrize("shape", AGAIN)
def test_names_and_rulers_are_no_rows(read, shape):
    rows = "".join(f"{q},{a}\n" for q, a in PAIRS)
    found, said = read(shape.format(names="Question,Answer", rows=rows), "t.csv")
    assert found[:12] == PAIRS and len(found) in (12, 24) and "repeat the names of the columns are not read: 1" in said
    markdown = "| Question | Answer |\n|:---|---:|\n" + "".join(f"| {q} | {a} |\n" for q, a in PAIRS)
    assert read(markdown, "t.md")[0] == PAIRS


@pytest.mark.parametrize(
    "text",
    [
        "Hello there, this is a story.",
        "I liked it, very much. Seen 1 times.",
        "It was late, and it rained.\nShe went home, and slept.",
        "Tyger, burning bright\nForests, of the night\nHands, of fire\nHearts, grown cold",
        "In 1900, he went.\nIn 1910, he came back.\nIn 1920, he left.",
    ],
)
def test_commas_make_no_table_of_prose(read, text):
    assert read(text, "story.txt")[0] == [text]


def test_a_table_called_txt_is_one(read):
    for names in ("question,answer", "frage;antwort"):
        rows = "".join(f"What is {i}{names[5:6] if ';' in names else ','}It is {i}\n" for i in range(12))
        found, _ = read(f"{names}\n{rows}", "t.txt")
        assert len(found) == 12 and found[0] == ("What is 0", "It is 0")


def test_the_questions_of_a_form_are_the_names_of_its_columns(tmp_path):
    asked = "What went well in this course, and what would you like to see more of next year?"
    rows = "".join(f"3/{day}/2024 9:0{day}:00,It was fine. {day},Why {day}?\n" for day in range(1, 7))
    (tmp_path / "form.csv").write_text(f'Timestamp,"{asked}",What is your question?\n{rows}')
    assert first_rows(tmp_path / "form.csv", "form.csv", Settings()).columns[:2] == ["Timestamp", asked]


# ---- workbooks and documents


@pytest.mark.slow
def test_a_workbook_is_a_table_and_says_what_is_odd(read):
    found, said = read(xlsx({"FAQ": [["Our office"], [], *TABLE], "Notes": [["a remark"]]}, hidden=[5], merged="C4:C6"))
    assert found == PAIRS
    for part in ("'Notes'", "1 hidden rows", "1 merged cells", "Our office", "`owner` (12)"):
        assert part in said


@pytest.mark.slow
def test_sheets_are_chosen_or_asked_for(read, tmp_path):
    two = xlsx({"A": TABLE, "B": [["question", "answer"], ["x", "y"]]})
    with pytest.raises(AskReading) as asked:
        read(two, "two.xlsx")
    (doubt,) = asked.value.doubts
    assert doubt.field == "sheet" and [value for value, _ in doubt.values] == ["A", "B"]
    assert first_rows(tmp_path / "two.xlsx", "two.xlsx", Settings()).doubts == asked.value.doubts
    assert read(two, sheet="b")[0] == [("x", "y")]
    assert read(xlsx({"train": TABLE, "test": TABLE[:3]}))[0] == PAIRS


def test_documents_are_whole_paragraphs_joined(read):
    paragraphs = [
        (style, f"{text} {i}") for i in range(40) for style, text in (("Heading1", "Chapter"), ("x", "Long. " * 30))
    ]
    found, _ = read(docx(paragraphs))
    assert 1 < len(found) < 10 and found[0].startswith("# Chapter 0\n\nLong.") and max(map(len, found)) <= 2200
    book, _ = read(epub(["<h1>One</h1><p>The river.</p><script>no()</script>", "<p>The end.</p>"]))
    assert book == ["# One\n\nThe river.\n\nThe end."]
    pages, said = read(pdf(["The river runs.", "", "It ends."]))
    assert pages == ["The river runs.\n\nIt ends."] and "without text" in said and ": 2." in said


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (pdf(["", ""]), "dataset.document_no_text"),
        (pdf(["The river"])[:150], "dataset.document_damaged"),
        (b"\xd0\xcf\x11\xe0" + b"x" * 600 + "EncryptedPackage".encode("utf-16-le"), "dataset.office_password"),
        (b"\xd0\xcf\x11\xe0" + b"x" * 600 + "WordDocument".encode("utf-16-le"), "dataset.other_kind"),
        (xlsx({"A": [["x"]]}), "dataset.no_table_in_workbook"),
        (packed(**{"word__document.xml": " " * 60_000_000, "[Content_Types].xml": "x"}), "archive.too_large"),
        (packed(**{"word__document.xml": "<w", "[Content_Types].xml": "x"}), "dataset.document_broken"),
        ("<?xml version='1.0'?><rows><row><q>a</q></row></rows>", "dataset.xml"),
        ("<rows><row><q>a</q></row></rows>", "dataset.xml"),
        ("{\\rtf1 hello}", "dataset.other_kind"),
    ],
)
def test_what_cannot_be_read_is_called_what_it_is(read, content, code):
    with pytest.raises(UserError) as error:
        read(content)
    assert error.value.code == code


# ---- texts


def test_a_book_is_not_one_example_a_heading(read):
    book = "".join(f"## Chapter {i}\n\nIt was a long day.\n\n" for i in range(200))
    found, said = read(book)
    assert len(found) < 10 and "\n\n".join(found) == book.strip() and "dataset.pieces=parts" in said
    assert len(read(book, pieces="parts")[0]) == 400


def test_subtitles_and_mails_are_what_was_said(read):
    srt = "".join(f"{i}\n00:00:0{i},000 --> 00:00:0{i},900\n<i>Line</i> {i}\n\n" for i in range(1, 9))
    assert read(srt)[0] == ["\n".join(f"Line {i}" for i in range(1, 9))]
    vtt = "WEBVTT\n\nNOTE no\n\n00:01.000 --> 00:02.000 align:start\n<v Ann>Hello &amp; welcome\n"
    assert read(vtt)[0] == ["Ann: Hello & welcome"]
    mail = "From a@b.org Mon Jan  1 10:00:00 2024\nFrom: a@b.org\nSubject: Hens\n\nHow many?\n>From here on?\n\n"
    found, said = read(mail * 2)
    assert found == ["How many?\nFrom here on?"] * 2 and "`subject` (2)" in said


def test_one_bad_byte_among_little_that_is_beyond_ascii_is_no_other_encoding(read):
    found, said = read(LINES.replace("What is 3", "Où est 3").encode() + b'{"instruction": "b\xe9", "output": "x"}\n')
    assert ("Où est 3?", "It is 3.") in found and "fit nothing" in said


def test_what_it_may_be_in_is_offered_with_its_words(tmp_path):
    (tmp_path / "a.csv").write_bytes("question,answer\nГде мельник?,У реки.\nКто пришёл?,Сосед.\n".encode("cp1251"))
    doubts = {doubt.field: doubt for doubt in first_rows(tmp_path / "a.csv", "a.csv", Settings()).doubts}
    assert doubts["encoding"].guess == "cp1251" and "мельник" in dict(doubts["encoding"].values)["cp1251"]


# ---- several files


LABELLED = "text,label\n" + "".join(f"{q},{i % 2}\n" for i, (q, _) in enumerate(PAIRS))


@pytest.mark.parametrize(
    ("data", "beside", "content"),
    [
        ("train.csv", "sample_submission.csv", "id,label\n1,0\n2,0\n"),
        ("train.csv", "submission.csv", "id,label\n1,0\n2,0\n"),
        ("data.csv", "labels.csv", "label,name\n0,good\n1,bad\n"),
        ("data.csv", "stats.json", '{"count": 12, "mean": 3}'),
        ("data.csv", "~$data.csv", "Ann"),
        ("data.csv", "codebook.csv", "column,meaning,kind\ntext,what was said,words\n"),
    ],
)
def test_a_file_beside_the_data_is_left_out_and_named(read, data, beside, content):
    found, said = read(packed(**{data: LABELLED, beside: content, "README.md": "About it."}))
    assert found == [(q, str(i % 2)) for i, (q, _) in enumerate(PAIRS)]
    assert said.count(beside) == 1 and "README.md" in said


# ---- train, valid and test


def names(split):
    return {
        "train": [
            "train",
            "training",
            "trainset",
            "Trainingsdaten",
            "entraînement",
            "обучающая",
            "训练集",
            "訓練データ",
        ],
        "validation": ["valid", "dev", "val", "eval", "evalset", "Validierung", "validación", "валидация", "验证集"],
        "test": ["test", "testset", "Testdaten", "pruebas", "teste", "тестовая", "测试集", "テスト", "unseen"],
    }[split]


@settings(max_examples=100)
@given(
    data=st.data(),
    shape=st.sampled_from(
        ["{split}.jsonl", "{split}/rows.csv", "my_{split}.json", "{split}-00000-of-00001.parquet", "a/{split}_x.csv"]
    ),
    upper=st.booleans(),
)
def test_files_are_told_apart_by_their_names(data, shape, upper):
    files = []
    for split in ("train", "validation", "test"):
        word = data.draw(st.sampled_from(names(split)))
        files.append((shape.format(split=word.upper() if upper else word), split))
    assert by_split(files) == {"train": ["train"], "validation": ["validation"], "test": ["test"]}


@pytest.mark.parametrize("paths", [["unit-test.md", "intro.md"], ["latest.jsonl", "contest.jsonl"], ["test.jsonl"]])
def test_what_only_sounds_like_a_split_is_learned(paths):
    assert by_split([(path, path) for path in paths]) == {"": paths}


@pytest.mark.parametrize(
    ("learned", "kept"),
    [
        ("billing.jsonl shipping.csv", "test.jsonl"),
        ("a/billing.jsonl a/shipping.jsonl", "test/a.jsonl"),
        ("faq.jsonl more.jsonl", "faq2_test.jsonl"),
        ("faq.md", "test.md"),
        ("hotelstrain.csv", "hotelstest.csv"),
        ("客服.csv", "客服测试集.csv"),
    ],
)
def test_what_is_called_a_test_is_not_mixed_in(learned, kept):
    files = [(path, path) for path in [*learned.split(), kept]]
    assert by_split(files) == {"train": learned.split(), "test": [kept]}


def test_two_splits_are_enough(tmp_path):
    other = '{"instruction": "Other?", "output": "O."}\n'
    for asked in (other, '{"instruction": "Other?"}\n'):  # such as a contest gives without the answers
        file = tmp_path / "set.zip"
        file.write_bytes(packed(**{"train.jsonl": LINES, "test.jsonl": asked}))
        id = import_file(file, tmp_path / "data", "set.zip", Settings())
        found = load_examples(DatasetChoice(source="file", id=id), tmp_path / "data")
        assert "Other?" not in str(found.train) and len(found.train) + len(found.held_out) in (12, 13)


def test_what_sounds_like_a_test_and_is_learned_is_said(read):
    content = packed(**{"blood_test.jsonl": LINES, "skin_test.jsonl": LINES, "faq.jsonl": LINES})
    found, said = read(content)
    assert len(found) == 36 and "Learned too" in said and "blood_test.jsonl, skin_test.jsonl" in said
    found, _ = read(xlsx({"FAQ": TABLE, "Test": TABLE[:3]}))
    assert found == PAIRS


def test_valid_is_measured_with_and_test_is_kept_apart(tmp_path):
    valid = [{"instruction": f"Valid {i}?", "output": f"V {i}."} for i in range(3)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("set/train.jsonl", LINES)
        archive.writestr("set/valid.jsonl", "".join(json.dumps(row) + "\n" for row in valid))
        archive.writestr("set/test.jsonl", json.dumps({"instruction": "Test?", "output": "T."}) + "\n")
        archive.writestr("set/picture.png", "x")
    file = tmp_path / "set.zip"
    file.write_bytes(buffer.getvalue())
    id = import_file(file, tmp_path / "data", "set.zip", Settings())

    def questions(**choice):
        found = load_examples(DatasetChoice(source="file", id=id, **choice), tmp_path / "data")
        return [[one[0]["content"] for one in part] for part in (found.train, found.held_out)], "\n".join(
            found.warnings
        )

    (learned, measured), said = questions()
    assert learned == [q for q, _ in PAIRS] and measured == ["Valid 0?", "Valid 1?", "Valid 2?"]
    assert "Kept apart, neither learned nor measured with: set/test.jsonl" in said and "picture.png" in said
    assert questions(held_out_from="test")[0][1] == ["Test?"]
    assert len(questions(split="all", held_out_share=0)[0][0]) == 16
