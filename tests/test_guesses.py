"""Which column is what, guessed: certain names are learned and said, all else is asked, and asking leads to rows."""

import json

import pytest

from qlora_app.training_data import DatasetChoice, load_examples
from qlora_app.training_data.conversations import read_file
from qlora_app.training_data.formats.columns import AskColumns, ColumnMap
from qlora_app.training_data.formats.names import SURE, role_of, sure_pair, words_of
from qlora_app.training_data.formats.paths import paths_of
from qlora_app.training_data.guesses import guesses


def asks(i):
    return f"What is the capital of land number {i}?"


def answers(i):
    return f"The capital is city number {i}, of course."


def read(folder, row, count=20, name="rows.jsonl", **how):
    """`row`: an object, or what makes one of a number."""
    file = folder / name
    rows = [row(i) if callable(row) else row for i in range(count)]
    file.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return read_file(file, file.name, **how)


def guessed(folder, row, **how):
    """The guesses of a file that asks, each of which was seen to give rows."""
    with pytest.raises(AskColumns) as asked:
        read(folder, row, **how)
    assert "dataset.columns" not in str(asked.value), "that is how a terminal says it"
    for guess in asked.value.guesses:
        assert read(folder, row, columns=ColumnMap(**guess)).conversations
    return asked.value.guesses


# ---- names


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("finalAnswer?", ("final", "answer")),
        ("HTMLText", ("html", "text")),
        ("problem_statement", ("problem", "statement")),
        (" Réponse  attendue ", ("reponse", "attendue")),
        ("YANIT", ("yanit",)),
        ("Straße", ("strasse",)),
        ("", ()),
    ],
)
def test_a_name_is_its_words(name, words):
    assert words_of(name) == words


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("question_of_user", "prompt"),
        ("Kundenfrage an uns: Frage", "prompt"),
        ("用户的问题", "prompt"),
        ("answer_to_user", "answer"),
        ("our expected_output", "answer"),
        ("标准答案文本", "answer"),
        ("wrong answer", "rejected"),
        ("question_id", "aside"),
        ("response_time", "aside"),
        ("问题类型", "aside"),
        ("Unnamed: 0", "aside"),
        ("id", "aside"),
        ("de", "languages"),
        ("Star rating", "label"),
        ("ham eggs", ""),
    ],
)
def test_what_a_name_says(name, role):
    assert role_of(name).name == role and role_of(name).strength < SURE


PAIRS = """
problem solution|Prompt Reply|src tgt|source_text target_text|human assistant|UserQuestion ModelAnswer|Frage Antwort
question reponse|pregunta respuesta|pergunta resposta|domanda risposta|vraag antwoord|вопрос ответ|pytanie odpowiedź
soru yanit|otázka odpověď|fråga svar|问题 答案|質問 回答|질문 답변|السؤال الجواب|प्रश्न उत्तर|pertanyaan jawaban|問題 解答
"""


@pytest.mark.parametrize("names", PAIRS.strip().replace("\n", "|").split("|"))
def test_usual_pairs_are_learned_and_it_is_said(tmp_path, names):
    first, second = names.split()
    found = read(tmp_path, lambda i: {"id": i, second: answers(i), "topic": "t", first: asks(i)})
    assert (found.user, found.answer) == (first.strip().lower(), second.strip().lower())
    assert [turn["content"] for turn in found.conversations[3]] == [asks(3), answers(3)]
    words = " ".join([found.because, *found.warnings])
    assert f"`{first.lower()}`" in words and f"`{second.lower()}`" in words and "`id` (20), `topic` (20)" in words


@pytest.mark.parametrize(
    "more", ["answer", "context", "target_text", "text", "rejected", "expected output", "réponse", "user question"]
)
def test_a_second_column_that_could_be_meant_is_asked(tmp_path, more):
    assert sure_pair(("problem", "solution", more)) is None
    guesses = guessed(tmp_path, lambda i: {"problem": asks(i), "solution": answers(i), more: f"Something else {i}."})
    assert "problem" in guesses[0].values() or "user question" in guesses[0].values()


def test_a_user_beside_an_answer_may_be_a_name(tmp_path):
    assert guessed(tmp_path, lambda i: {"user": f"Ann {i}", "answer": answers(i), "body": asks(i)})
    assert sure_pair(("user", "assistant")) == ("user", "assistant")


def test_a_known_answer_beside_another_sure_one_is_asked(tmp_path):
    guesses = guessed(tmp_path, lambda i: {"question": asks(i), "answer": str(i), "solution": answers(i)})
    assert {guess["answer"] for guess in guesses} == {"answer", "solution"}


# ---- guesses


@pytest.mark.parametrize(
    ("row", "guess"),
    [
        (lambda i: {"question": asks(i), "foo": answers(i)}, {"prompt": "question", "answer": "foo"}),
        (lambda i: {"foo": asks(i), "bar": answers(i)}, {"prompt": "foo", "answer": "bar"}),
        (lambda i: {"foo": asks(i), "Answer": answers(i)}, {"prompt": "foo", "answer": "Answer"}),
        (lambda i: {"nr": i, "Ticket Text": asks(i), "supportReply": answers(i)}, {"answer": "supportReply"}),
        (lambda i: {"en": asks(i), "de": answers(i)}, {"prompt": "en", "answer": "de"}),
        (lambda i: {"english_text": asks(i), "french_text": answers(i)}, {"prompt": "english_text"}),
        (lambda i: {"headline": asks(i), "category": "ab"[i % 2]}, {"prompt": "headline", "label": "category"}),
        (lambda i: {"v1": ["ham", "spam"][i % 2], "v2": asks(i)}, {"prompt": "v2", "label": "v1"}),
        (lambda i: {"question": asks(i), "answer": i}, {"prompt": "question", "answer": "answer"}),
        (lambda i: {"question": asks(i), "good": answers(i), "bad": "No."}, {"prompt": "question", "answer": "good"}),
        (
            lambda i: {"instruction": asks(i), "input": "x", "reply": answers(i)},
            {"prompt": "instruction", "answer": "reply", "input": "input"},
        ),
        (
            lambda i: {"Body": asks(i) * 3, "passage": "p", "score": i, "accepted_answer": answers(i)},
            {"prompt": "passage", "answer": "accepted_answer"},
        ),
        (lambda i: {"quote": answers(i)}, {"answer": "quote"}),
        (
            lambda i: {"story": asks(i) * 3, "question": asks(i), "answer": answers(i)},
            {"prompt": "question", "answer": "answer", "input": "story"},
        ),
        (
            lambda i: {"premise": asks(i), "hypothesis": answers(i), "gold_label": "abc"[i % 3]},
            {"prompt": "premise", "input": "hypothesis", "label": "gold_label"},
        ),
        (lambda i: {"question": asks(i), "choices": ["b"], "answer": "b"}, {"prompt": "question", "answer": "answer"}),
        (lambda i: {"prompt": asks(i), "replies": [answers(i), "No."]}, {"answer": "replies[first]"}),
        (lambda i: {"question": asks(i), "answers": json.dumps(["a", "b"])}, {"answer": "answers[first]"}),
        (lambda i: {"query": asks(i), "answers": json.dumps([{"name": "f"}])}, {"answer": "answers"}),
        (
            lambda i: {"problem": asks(i), "passage": "c", "solutions": {"text": [answers(i)], "start": [3]}},
            {"prompt": "problem", "answer": "solutions.text[first]", "input": "passage"},
        ),
        (
            lambda i: {"prompt": asks(i), "choices": [{"message": {"text": answers(i)}}]},
            {"prompt": "prompt", "answer": "choices[first].message.text"},
        ),
        (
            lambda i: {"parts": [{"about": "c", "qas": [{"question": asks(i), "replies": [answers(i)]}] * 2}] * 2},
            {"prompt": "parts[each].qas[each].question", "answer": "parts[each].qas[each].replies[first]"},
        ),
        (lambda i: {"id": i, "turns_of_talk": [asks(i), answers(i)]}, {"prompt": "turns_of_talk[first]"}),
    ],
)
def test_what_cannot_be_known_is_asked_with_a_guess(tmp_path, row, guess):
    first = guessed(tmp_path, row)[0]
    assert first | guess == first, first


@pytest.mark.parametrize(
    "row",
    [{"question": "a"}, {"question": "a", "id": 3}, {"instruction": "a", "output": ""}, {"question": "", "foo": ""}],
)
def test_what_holds_nothing_to_learn_is_refused(tmp_path, row):
    with pytest.raises(Exception) as refused:
        read(tmp_path, row)
    assert type(refused.value).__name__ == "NotTrainable"


# ---- a text and what stands beside it


@pytest.mark.parametrize(
    ("more", "guess"),
    [
        (lambda i: {"topic": "ab"[i % 2], "tone": "xy"[i % 3 % 2]}, {"prompt": "text", "label": "topic"}),
        (lambda i: {"category": f"kind {i % 12}"}, {"prompt": "text", "label": "category"}),
        (lambda i: {"reply": answers(i)}, {"prompt": "text", "answer": "reply"}),
        (lambda i: {"translation": answers(i)}, {"prompt": "text", "answer": "translation"}),
        (lambda i: {"code": answers(i), "id": i}, {"prompt": "text", "answer": "code"}),
        (lambda i: {"lang": "abcd"[i % 4], "topic": f"topic {i}"}, {"prompt": "text"}),
    ],
)
def test_what_may_answer_a_text_is_asked_and_the_text_alone_is_offered(tmp_path, more, guess):
    guesses = guessed(tmp_path, lambda i: {"text": asks(i)} | more(i))
    assert guesses[0] | guess == guesses[0] and {"answer": "text"} in guesses


# ---- inside of cells


CELL = {"text": ["a", "b"], "more": [{"x": "u"}, {"x": "v"}], "deep": {"Er": {"sie": "es"}}}


@pytest.mark.parametrize(
    ("path", "learned"),
    [
        ("cell.text", ["a"]),
        ("cell.text[first]", ["a"]),
        ("cell.text[0]", ["a"]),
        ("cell.text[1]", ["b"]),
        ("cell.text[last]", ["b"]),
        ("cell.text[joined]", ["a\n\nb"]),
        ("cell.text[each]", ["a", "b"]),
        ("cell.more[1].x", ["v"]),
        ("cell.more.x", ["u"]),
        ("Cell.more[each].x", ["u", "v"]),
        ("cell.more[joined].x", ["u\n\nv"]),
        ("cell.deep.er.sie", ["es"]),
    ],
)
@pytest.mark.parametrize("written", [lambda cell: cell, json.dumps, str], ids=["itself", "json", "python"])
def test_cells_are_opened_by_path(tmp_path, path, learned, written):
    found = read(tmp_path, {"ask": "q", "cell": written(CELL)}, 1, columns=ColumnMap(prompt="ask", answer=path))
    assert [one[-1]["content"] for one in found.conversations] == learned
    assert all(one[0]["content"] == "q" for one in found.conversations)
    named = " ".join(found.warnings)
    assert "of which the first is learned" in named or path != "cell.text"
    if "text" in path:
        assert "Inside of `cell` not read, with the number of rows it stands in: `more` (1), `deep` (1)." in named


def test_lists_in_lists_and_a_composed_question_give_an_example_of_each(tmp_path):
    row = {
        "parts": [{"about": f"c{i}", "qas": [{"q": f"q{i}{k}", "a": f"a{i}{k}"} for k in range(2)]} for i in range(2)]
    }
    row["parts"][1]["qas"][0].pop("a")
    columns = ColumnMap(template="{parts[each].about}: {parts[each].qas[each].q}", answer="parts[each].qas[each].a")
    found = read(tmp_path, row, 1, columns=columns)
    texts = [[turn["content"] for turn in one] for one in found.conversations]
    assert texts == [["c0: q00", "a00"], ["c0: q01", "a01"], ["c1: q11", "a11"]]
    assert any("one of several examples could not be used" in text for text in found.warnings)


def test_the_places_inside_of_a_cell_are_listed_and_can_all_be_read(tmp_path):
    places = paths_of("cell", CELL)
    assert {"cell.text[first]", "cell.text[each]", "cell.text[joined]", "cell.more[each].x", "cell.deep.Er.sie"} <= {
        *places
    }
    for place in places:
        assert read(tmp_path, {"cell": CELL}, 1, columns=ColumnMap(answer=place)).conversations
    assert paths_of("talk", [{"role": "user", "content": "a"}]) == []


# ---- said before the start


@pytest.mark.parametrize(
    ("row", "count", "said"),
    [
        (lambda i: {"question": asks(i), "answer": "Yes."}, 20, "All 20 answers are the same"),
        (lambda i: {"question": asks(i), "answer": "No." if i == 7 else "Yes."}, 20, "19 of 20 answers are the same"),
        ({"question": "Why?", "answer": "So."}, 20, "only 1 of 20 differ"),
        (lambda i: {"text": asks(i), "label": "rare" if i == 3 else "often"}, 12, "1 of 2, such as 'rare'"),
        (lambda i: {"question": asks(i), "answer": answers(i)}, 20, ""),
    ],
)
def test_what_can_teach_little_is_said(tmp_path, row, count, said):
    words = " ".join(read(tmp_path, row, count).warnings)
    assert said in words and (words == "") == (said == "")


@pytest.mark.parametrize(
    ("count", "share", "said"),
    [
        (1, 0.1, ["There is only 1 row to learn from", "No row is held out"]),
        (5, 0.1, ["There are only 5 rows to learn from", "No row is held out"]),
        (5, 0, ["There are only 5 rows to learn from"]),
        (12, 0.1, ["There are only 11 rows to learn from", "1 row is held out, so the result will be a guess."]),
        (30, 0.1, ["3 rows are held out, so the result will be a guess."]),
        (100, 0.1, []),
    ],
)
def test_too_few_rows_are_said(tmp_path, count, share, said):
    file = tmp_path / "few.jsonl"
    file.write_text("".join(json.dumps({"question": asks(i), "answer": answers(i)}) + "\n" for i in range(count)))
    examples = load_examples(DatasetChoice(source="file", id="few.jsonl", held_out_share=share), tmp_path)
    assert len(examples.few) == len(said) and all(map(str.startswith, examples.few, said))


# ---- rows that are marked


@pytest.mark.parametrize(
    ("mark", "bad", "good"),
    [
        ("is_correct", False, True),
        ("is_correct", 0, 1),
        ("correct", False, True),
        ("Correct?", "no", "yes"),
        ("feedback", "thumbs_down", "thumbs_up"),
        ("rating", "\U0001f44e", "\U0001f44d"),
        ("is_spam", True, False),
        ("status", "rejected", "approved"),
    ],
)
def test_rows_marked_as_bad_are_left_out_and_counted(tmp_path, mark, bad, good):
    found = read(tmp_path, lambda i: {"question": asks(i), "answer": answers(i), mark: bad if i % 2 else good})
    assert list(found.numbers) == list(range(1, 21, 2)) and len(found.left_out) == 10
    assert mark.lower() in found.warnings[0] and "10 of 20 rows" in found.warnings[0]


@pytest.mark.parametrize(("mark", "value"), [("correct", 0), ("feedback", "It was slow."), ("is_correct", "unsure")])
def test_what_is_no_mark_leaves_rows(tmp_path, mark, value):
    assert read(tmp_path, lambda i: {"question": asks(i), "answer": answers(i), mark: value}).rows == 20


def test_a_mark_is_of_the_answer_beside_the_expected_one(tmp_path):
    row = {"question": "How much?", "answer": "Too much.", "reference": "Two euros for one.", "correct": False}
    assert guessed(tmp_path, row)[0] == {"prompt": "question", "answer": "reference"}


def test_scores_are_said_loudly(tmp_path):
    found = read(tmp_path, lambda i: {"question": asks(i), "answer": answers(i), "score": i % 2})
    assert any("`score` may say how good a row is" in warning for warning in found.warnings)


@pytest.mark.parametrize("names", [("split", "train", "test"), ("set", "Training", "dev"), ("fold", "train", "valid")])
def test_rows_kept_apart_by_a_column_are_not_learned(tmp_path, names):
    column, train, test = names
    row = {"question": "How much?", "answer": "Two."}
    found = read(tmp_path, lambda i: row | {column: test if i % 4 == 3 else train})
    assert len(found.conversations) == 15 and f"its `{column}` is '{test}'" in found.warnings[0]
    assert len(read(tmp_path, row | {column: test}).conversations) == 20  # nothing else to learn from


# ---- what stands beside a text


@pytest.mark.parametrize("name", ["status", "country", "priority", "group_name"])
def test_a_doubtful_name_beside_a_text_is_asked(tmp_path, name):
    first, *others = guessed(tmp_path, lambda i: {"text": asks(i), name: f"v{i % 2}"})
    assert first == {"prompt": "text", "label": name} and {"answer": "text"} in others


@pytest.mark.parametrize("name", ["annotator", "verified", "worker"])
def test_what_is_said_of_a_row_is_no_label_of_its_text(tmp_path, name):
    found = read(tmp_path, lambda i: {"text": asks(i), name: f"v{i % 2}"})
    assert found.format == "text" and any(f"If `{name}` is the label" in warning for warning in found.warnings)


@pytest.mark.parametrize("name", ["is_spam", "category", "Kategorie", "stance", "genre"])
def test_a_name_that_means_a_label_is_learned(tmp_path, name):
    assert read(tmp_path, lambda i: {"text": asks(i), name: f"v{i % 2}"}).format == "classification"


# ---- what stands for nothing


@pytest.mark.parametrize("lost", ["nan", "NULL", "#NAME?", "#REF!", "#N/A", "#DIV/0!", "[removed]", "[deleted]"])
def test_lost_values_are_left_out_and_counted(tmp_path, lost):
    found = read(tmp_path, lambda i: {"question": asks(i), "answer": answers(i) if i % 2 else lost})
    assert len(found.conversations) == 10 and f"its answer is '{lost}'" in found.warnings[0]
    only_asked = read(tmp_path, lambda i: {"question": asks(i) if i % 2 else lost, "answer": answers(i)})
    assert len(only_asked.conversations) == 10 and f"its question is '{lost}'" in only_asked.warnings[0]


@pytest.mark.parametrize("input", ["nan", "NULL", "<noinput>"])
def test_a_lost_input_is_none(tmp_path, input):
    found = read(tmp_path, {"instruction": "Say it.", "input": input, "output": "It."})
    assert found.conversations[0][0]["content"] == "Say it."


@pytest.mark.parametrize("maybe", ["None", "n/a", "-", "TODO", "???", "null"])
def test_what_may_stand_for_nothing_is_said(tmp_path, maybe):
    found = read(tmp_path, lambda i: {"question": asks(i), "answer": answers(i) if i % 4 else maybe})
    assert len(found.conversations) == 20
    said = [warning for warning in found.warnings if warning.startswith("Answers that may stand for nothing in 5 rows")]
    assert len(said) == 1 and f"row 1, '{maybe}'" in said[0]


@pytest.mark.parametrize(
    ("asked", "answer", "rows"),
    [
        ("Total", "12 answers", 5),
        ("Grand total:", "1,200.50 €", 5),
        ("Subtotal billing", "6", 5),
        ("Summe", "12", 5),
        ("Total", "Gesamt", 6),
        ("Total of 3 and 5", "8", 6),
        ("What is the total?", "8", 6),
    ],
)
def test_rows_that_add_up_others_are_left_out(tmp_path, asked, answer, rows):
    row = {"question": asked, "answer": answer}
    found = read(tmp_path, lambda i: row if i == 5 else {"question": asks(i), "answer": answers(i)}, count=6)
    assert (len(found.conversations), len(found.left_out)) == (rows, 6 - rows)


@pytest.mark.parametrize("answer", ["<p>Yes.</p>", "Yes&nbsp;and no", "Yes<br/>no", "See <a href='x'>here</a>"])
def test_tags_of_web_pages_are_said(tmp_path, answer):
    found = read(tmp_path, lambda i: {"question": asks(i), "answer": f"{i} {answer}"})
    assert any(warning.startswith("Tags of web pages in 20 rows (first: row 1") for warning in found.warnings)
    plain = read(tmp_path, lambda i: {"question": asks(i), "answer": f"List<String> x = a < b && c > {i};"})
    assert not any(warning.startswith("Tags") for warning in plain.warnings)


# ---- guesses that lead somewhere


def test_columns_of_turns_are_guessed_as_conversations(tmp_path):
    turns = [{"role": "user", "content": "How much?"}, {"role": "assistant", "content": "Two."}]
    row = {"winner": "model_a", "model_a": "x", "conversation_a": turns, "conversation_b": turns}
    assert guessed(tmp_path, row)[0] == {"messages": "conversation_a"}


def test_turns_within_objects_are_guessed(tmp_path):
    turns = [{"role": "user", "text": "How much?"}, {"role": "model", "text": "Two."}]
    assert guessed(tmp_path, {"settings": {"model": "x"}, "log": {"chunks": turns}})[0] == {"messages": "log.chunks"}


def test_tokens_flags_and_names_of_tasks_are_not_guessed(tmp_path):
    tokens = {"inputs": [1, 2], "targets": [3]}
    row = lambda i: {**tokens, "inputs_pretokenized": asks(i), "targets_pretokenized": answers(i)}  # noqa: E731
    first = guessed(tmp_path, row)[0]
    assert first == {"prompt": "inputs_pretokenized", "answer": "targets_pretokenized"}
    found = guessed(tmp_path, lambda i: {"source": asks(i), "rationale": "So.", "target": answers(i), "task": "qa"})
    assert found[0] == {"prompt": "source", "answer": "target"}


def test_a_system_text_is_never_guessed_to_answer():
    row = {"system": "You are helpful.", "chat": "A long text of which nobody knows what it is."}
    assert guesses([row] * 20, list(row)) == [{"answer": "chat"}]


def test_texts_are_asked_about_also_without_a_guess(tmp_path):
    row = {"system": "You are helpful.", "chat": "A long text of which nobody knows what it is."}
    with pytest.raises(AskColumns) as asked:
        read(tmp_path, row)
    assert asked.value.columns == ["system", "chat"] and not asked.value.guesses
