"""Data that a person brings: one file or several, a folder, an archive, pasted text, what lies on the server; and what
changes later.
"""

import io
import json
import zipfile

import pytest
import yaml

from qlora_app.overrides import recipe_from
from qlora_app.recipe import Recipe
from qlora_app.settings import Settings
from qlora_app.training_data import (
    DatasetChoice,
    changed_since,
    import_file,
    import_files,
    import_text,
    load_examples,
    pinned,
    server_files,
    uploaded_files,
)
from qlora_app.training_data import (
    store as shelf,
)
from qlora_app.training_data.checks import same_key
from qlora_app.training_data.first_rows import first_rows
from qlora_app.training_data.formats.columns import AskColumns, ColumnMap
from qlora_app.training_data.sources.folder import fingerprint_of
from tests.refusing import refused


def alpaca(word, count):
    return "".join(json.dumps({"instruction": f"Say {word} {i}", "output": f"{word} {i}"}) + "\n" for i in range(count))


SHAREGPT = json.dumps({"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]}) + "\n"


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "home" / "data"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / "mine" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    return write


def zipped(**members):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return packed.getvalue()


def own(id, **more):
    return DatasetChoice(source="file", id=id, **more)


# ---- several files


def test_several_files_become_one_dataset_and_a_row_is_named_by_its_file(data, write):
    broken = alpaca("b", 6) + json.dumps({"instruction": "Nothing", "output": ""}) + "\n"
    id = import_files([write("a.jsonl", alpaca("a", 12)), write("b.jsonl", broken)], data)
    choice = own(id)
    examples = load_examples(choice, data)
    assert choice.title == "a_and_1_more" and examples.rows == 19 and len(examples.train) + len(examples.held_out) == 18
    assert str(examples.left_out[0]).startswith("row 19 (line 7 of b.jsonl): ")
    assert uploaded_files(data) == [id] and id == import_files(
        [write("a.jsonl", alpaca("a", 12)), write("b.jsonl", broken)], data
    )
    assert [path.name for path in data.iterdir()] == [id], "the second time leaves nothing beside it"


def test_two_files_of_one_name_are_both_kept(data, write):
    examples = load_examples(
        own(import_files([write("1/a.jsonl", alpaca("a", 3)), write("2/a.jsonl", alpaca("b", 4))], data)), data
    )
    assert examples.rows == 7


def test_files_in_different_formats_are_refused_and_named(data, write):
    with refused("dataset.formats_differ", "a.jsonl is Alpaca, b.jsonl is ShareGPT"):
        import_files([write("a.jsonl", alpaca("a", 3)), write("b.jsonl", SHAREGPT)], data)
    assert list(data.iterdir()) == []


def test_an_archive_of_several_files_is_one_dataset(data, tmp_path):
    file = tmp_path / "all.zip"
    file.write_bytes(zipped(**{"x/a.jsonl": alpaca("a", 3), "x/b.jsonl": alpaca("b", 4), "README.md": "# no data"}))
    assert load_examples(own(import_file(file, data, "all.zip")), data).rows == 7
    file.write_bytes(zipped(**{"a.jsonl": alpaca("a", 3), "b.jsonl": SHAREGPT}))
    with refused("dataset.formats_differ", "all.zip", "a.jsonl is Alpaca, b.jsonl is ShareGPT"):
        import_file(file, data, "all.zip")


def test_many_files_of_an_archive_share_its_limit(data, tmp_path):
    file = tmp_path / "bomb.zip"
    file.write_bytes(zipped(**{f"{i}.txt": b" " * 9_000_000 for i in range(3)}))
    with refused("archive.too_large"):
        import_file(file, data, "bomb.zip")


def test_files_that_ask_are_kept_and_read_by_their_columns(data, write):
    id = import_files([write("a.csv", "raw,note\n1,one\n2,two\n"), write("b.csv", "raw,note\n3,three\n")], data)
    with pytest.raises(AskColumns) as asked:
        load_examples(own(id), data)
    assert asked.value.columns == ["raw", "note"]
    assert load_examples(own(id, columns=ColumnMap(prompt="raw", answer="note")), data).rows == 3


# ---- what lies on the server


def test_files_and_folders_of_the_data_folder_are_offered_and_read(data):
    (data / "corpora" / "deep").mkdir(parents=True)
    (data / "corpora" / "a.jsonl").write_text(alpaca("a", 12))
    (data / "corpora" / "b.jsonl").write_text(alpaca("b", 5))
    (data / "corpora" / "deep" / "c.jsonl").write_text(alpaca("c", 2))
    (data / "corpora" / ".hidden.jsonl").write_text("{}")
    (data / "one.jsonl").write_text(alpaca("one", 3))
    (data / "notes.doc").write_text("x")
    assert server_files(data) == ["one.jsonl", "corpora", "corpora/a.jsonl", "corpora/b.jsonl", "corpora/deep/c.jsonl"]
    assert load_examples(own("corpora/a.jsonl"), data).rows == 12
    assert load_examples(own("corpora"), data).rows == 19 and load_examples(own("one.jsonl"), data).rows == 3


@pytest.mark.parametrize("id", ["../runs", "corpora/../../runs", "/etc/passwd", ".hub/x.json", "a//b", "", "a\\b"])
def test_nothing_outside_of_the_data_folder_can_be_named(data, id):
    with refused("dataset.outside_folder"):
        load_examples(own(id), data)


def test_links_are_refused_wherever_they_stand(data, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.jsonl").write_text(alpaca("a", 3))
    (data / "linked").symlink_to(outside)
    (data / "link.jsonl").symlink_to(outside / "a.jsonl")
    (data / "folder").mkdir()
    (data / "folder" / "b.jsonl").symlink_to(outside / "a.jsonl")
    for id in ("linked", "linked/a.jsonl", "link.jsonl"):
        with refused("dataset.reached_through_link"):
            load_examples(own(id), data)
    with refused("dataset.link_in_folder", "b.jsonl"):
        load_examples(own("folder"), data)
    assert server_files(data) == []


def test_what_nobody_checked_has_limits_when_it_is_read(data, monkeypatch):
    (data / "one.jsonl").write_text(alpaca("one", 30))
    monkeypatch.setenv("QLORA_APP_MAX_ROWS", "20")
    with refused("dataset.too_many_rows", 20):
        load_examples(own("one.jsonl"), data)


# ---- pasted text


@pytest.mark.parametrize(
    ("text", "format"),
    [
        ("question,answer\nWhy?,Because.\nWho?,Me.\n", "question_answer"),
        (alpaca("a", 2), "alpaca"),
        ("Once upon a time.\n\nThe end.", "text"),
    ],
)
def test_pasted_text_is_recognised_like_a_file(data, text, format):
    choice = own(import_text(text, data))
    assert choice.title == "pasted.txt" and load_examples(choice, data).format == format


def test_no_text_is_a_sentence(data):
    with refused("dataset.no_text"):
        import_text("  \n", data)


# ---- the fingerprint


def test_a_run_whose_data_changed_says_so(data, write):
    (data / "one.jsonl").write_text(alpaca("one", 20))
    kept = pinned(own("one.jsonl"), data)
    assert (
        len(kept.fingerprint) == 64
        and changed_since(kept, data) == []
        and "changed" not in str(load_examples(kept, data).warnings)
    )
    (data / "one.jsonl").write_text(alpaca("other", 20))
    said = "one.jsonl has changed since this run was started"
    assert said in changed_since(kept, data)[0] and said in load_examples(kept, data).warnings[0]
    (data / "one.jsonl").unlink()
    assert changed_since(kept, data) == [], "that it is gone is said elsewhere"
    upload = pinned(own(import_file(write("a.jsonl", alpaca("a", 3)), data, "a.jsonl")), data)
    assert upload.fingerprint.startswith(upload.id[:12])


def test_the_fingerprint_of_a_folder_knows_names_and_bytes(data):
    (data / "some").mkdir()
    (data / "some" / "a.jsonl").write_text(alpaca("a", 2))
    before = fingerprint_of(data / "some")
    (data / "some" / "a.jsonl").rename(data / "some" / "b.jsonl")
    assert fingerprint_of(data / "some") != before


# ---- the first rows, and the command line


def test_the_first_rows_show_columns_and_what_is_learned(write):
    file = write(
        "a.jsonl",
        json.dumps({"Title": "A", "body": {"text": "long"}, "tag": ""}) + "\n" + json.dumps({"Title": "B", "tag": "x"}),
    )
    rows = first_rows(file, "a.jsonl", Settings())
    assert rows.columns == ["Title", "body", "tag", "body.text"]
    made = rows.learned(ColumnMap(template="{title}\\n{body.text}", answer="tag"), "all", 3)
    nothing_inside = [{"role": "user", "content": "B\n"}, {"role": "assistant", "content": "x"}]
    assert made == ["the answer (turn 2) is empty", nothing_inside], "an object that is absent is like one that is null"
    made = rows.learned(ColumnMap(prompt="tag", answer="Title"), "all", 3)
    assert made[1] == [{"role": "user", "content": "x"}, {"role": "assistant", "content": "B"}]


def test_a_folder_and_data_of_the_data_folder_can_be_named_in_a_command(data, write):
    write("a.jsonl", alpaca("a", 12))
    folder = write("b.jsonl", alpaca("b", 12)).parent
    settings = Settings(home=data.parent)
    choice = recipe_from("starter", [f"dataset.id={folder}"], settings).dataset
    assert choice.title == "mine" and load_examples(choice, data).rows == 24
    (data / "own").mkdir()
    (data / "own" / "x.jsonl").write_text(alpaca("x", 3))
    choice = recipe_from("starter", ["dataset.id=own/x.jsonl"], settings).dataset
    assert (choice.source, choice.id) == ("file", "own/x.jsonl")


# ---- measured with data of its own


def two_files(tmp_path, learned=range(100), measured=range(90, 120), **chosen):
    ids = []
    for name, numbers in (("learned", learned), ("measured", measured)):
        file = tmp_path / f"{name}.jsonl"
        file.write_text(
            "".join(json.dumps({"instruction": f"What is {i}?", "output": f"It is  {i}."}) + "\n" for i in numbers)
        )
        ids.append(import_file(file, tmp_path / "data", file.name))
    return DatasetChoice(source="file", id=ids[0], held_out_from=ids[1], **chosen), tmp_path / "data"


@pytest.mark.parametrize("in_memory", [shelf.IN_MEMORY, 0])
def test_a_second_file_is_measured_with_and_nothing_stands_on_both_sides(tmp_path, monkeypatch, in_memory):
    monkeypatch.setattr(shelf, "IN_MEMORY", in_memory)
    choice, data = two_files(tmp_path)
    for _ in range(2):  # the second time as it was kept
        examples = load_examples(choice, data)
        assert (len(examples.train), len(examples.held_out), examples.rows, len(examples.left_out)) == (90, 30, 100, 10)
        assert not {same_key(one) for one in examples.train} & {same_key(one) for one in examples.held_out}
        assert (examples.left_out[0].row, examples.left_out[0].reason) == (
            91,
            "it also stands in the held-out data measured.jsonl",
        )
        assert any("10 of 100 rows also stand in the held-out data" in one for one in examples.warnings)
    alone = load_examples(choice.model_copy(update={"held_out_from": ""}), data)
    assert len(alone.held_out) == 10 and alone.fingerprint != examples.fingerprint


def test_held_out_questions_that_are_learned_with_another_answer_are_counted(tmp_path):
    choice, data = two_files(tmp_path, measured=range(200, 203))
    other = tmp_path / "other.jsonl"
    other.write_text(
        "".join(json.dumps({"instruction": f"what is {i}?", "output": f"{i}!"}) + "\n" for i in (5, 300, 7))
    )
    examples = load_examples(choice.model_copy(update={"held_out_from": import_file(other, data, other.name)}), data)
    assert (list(examples.also_learned), len(examples.train)) == (
        [0, 2],
        100,
    ) and "2 of 3 held-out questions" in examples.warnings[-1]


def test_columns_are_those_of_the_data_and_held_out_data_may_have_others(tmp_path):
    choice, data = two_files(tmp_path)
    mapped = choice.model_copy(update={"columns": ColumnMap(prompt="raw", answer="note")})
    for name, text, held_out in (
        ("odd.csv", "raw,note\n" + "".join(f"q{i},a\n" for i in range(20)), choice.id),
        ("more.csv", "raw,note\n" + "".join(f"q{i},b\n" for i in range(15)), None),
    ):
        (tmp_path / name).write_text(text)
        mapped = mapped.model_copy(
            update={
                "id": mapped.id if held_out is None else import_file(tmp_path / name, data, name),
                "held_out_from": held_out or import_file(tmp_path / name, data, name),
            }
        )
        examples = load_examples(mapped, data)
        assert examples.train[0][0]["content"] == "q0" and len(examples.train) == 20
        assert examples.held_out[0][0]["content"] == ("q0" if held_out is None else "What is 0?")


def test_of_much_held_out_data_a_part_is_measured_with_the_same_for_the_same_seed(tmp_path):
    choice, data = two_files(tmp_path, range(20), [*range(100, 800), 100])
    first, same = (load_examples(choice, data) for _ in range(2))
    other = load_examples(choice.model_copy(update={"split_seed": 1}), data)
    assert len(first.held_out) == 500 == len({same_key(one) for one in first.held_out}) and len(first.train) == 20
    assert list(first.held_out) == list(same.held_out) != list(other.held_out)
    assert "Measured with: 500 of 701 rows of measured.jsonl." in first.warnings


@pytest.mark.parametrize(
    ("held_out", "expected"),
    [
        ("../x.jsonl", ("dataset.outside_folder",)),
        ("nobody.jsonl", ("dataset.held_out_wrong", "dataset.not_in_folder")),
        ("same", ("dataset.held_out_same_file",)),
        ("all", ("dataset.all_held_out",)),
    ],
)
def test_held_out_data_that_cannot_be_used_is_named_at_its_setting(tmp_path, held_out, expected):
    choice, data = two_files(tmp_path, measured=range(100))
    id = {"same": choice.id, "all": choice.held_out_from}.get(held_out, held_out)
    with refused(*expected) as error:
        load_examples(choice.model_copy(update={"held_out_from": id}), data)
    assert list(error.value.problems) == ["dataset.held_out_from"]


def test_a_command_may_name_both_files_by_their_paths(tmp_path):
    choice, _ = two_files(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "measured.jsonl").rename(tmp_path / "other" / "learned.jsonl")
    words = [
        f"dataset.id={tmp_path / 'learned.jsonl'}",
        f"dataset.held_out_from={tmp_path / 'other' / 'learned.jsonl'}",
    ]
    made = recipe_from("starter", words, Settings(home=tmp_path / "home"))
    assert (
        made.dataset.id == choice.id
        and made.dataset.held_out_from.partition("-")[0] == choice.held_out_from.partition("-")[0]
    )
    examples = load_examples(made.dataset, tmp_path / "home" / "data")
    assert (len(examples.train), len(examples.held_out)) == (90, 30)
    assert Recipe.from_dict(yaml.safe_load(made.to_yaml())).dataset == made.dataset
    with refused("recipe.wrong_settings", "dataset.held_out_same_file"):
        recipe_from(
            "starter",
            [words[0], words[0].replace("dataset.id", "dataset.held_out_from")],
            Settings(home=tmp_path / "home"),
        )
