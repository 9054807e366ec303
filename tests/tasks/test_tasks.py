"""What each task reads, hides, learns and answers, and what it refuses."""

import json
import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import PeftModel
from transformers import AutoModelForSequenceClassification

from qlora_app import worker
from qlora_app.answers import answer_file
from qlora_app.base_models import ModelChoice, load_model, load_tokenizer
from qlora_app.base_models.recognition import (
    Facts,
    check_config,
    describe_folder,
    tasks_of,
)
from qlora_app.inference.session import ChatSession
from qlora_app.preflight import check_here
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.settings import Settings
from qlora_app.tasks import (
    TASKS,
    TaskChoice,
    task_for,
    unsuitable_tasks,
)
from qlora_app.tasks.dataset import EncodedExamples, micro_batches
from qlora_app.tasks.scores import macro_f1, rouge_l
from qlora_app.tasks.task import IGNORED
from qlora_app.training_data import import_file
from qlora_app.training_data.formats.columns import ColumnMap
from qlora_app.training_data.formats.turns import RowError
from qlora_app.training_data.questions import detector_of, question_of
from qlora_app.ui.chat.try_it import pictures
from tests.refusing import refused
from tests.tiny_models import tiny_model

WORDS = {"positive": "wonderful", "negative": "boring"}
LABELLED = [
    [{"role": "user", "content": f"The {thing} was {word}."}, {"role": "assistant", "content": label}]
    for thing in ("film", "soup", "book", "house")
    for label, word in WORDS.items()
]
PAIRS = [
    [{"role": "user", "content": f"Number {i}"}, {"role": "assistant", "content": f"Nummer {i}"}] for i in range(9)
]
TEXTS = [[{"role": "text", "content": f"Mira bakes bread every morning, {i}."}] for i in range(9)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("tiny")
    return {family: tiny_model(family, home) for family in ("bert", "roberta", "t5", "deberta-v2")}


def tokenizer_of(folder):
    return load_tokenizer(ModelChoice(source="folder", id=str(folder)))


# ---- which task


@pytest.mark.parametrize(
    "config, tasks",
    [
        ({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}, ("chat", "classification")),
        ({"architectures": ["GPT2LMHeadModel"], "model_type": "gpt2"}, ("chat", "classification")),
        ({"architectures": ["T5WithLMHeadModel"], "model_type": "t5"}, ("text_to_text",)),
        ({"architectures": ["RobertaForMaskedLM"], "model_type": "roberta"}, ("classification", "fill_mask")),
        ({"model_type": "deberta-v2"}, ("classification",)),  # its published weights hold no head that fills blanks
        ({"architectures": ["LlavaForConditionalGeneration"], "model_type": "llava"}, ()),
    ],
)
def test_what_a_model_can_learn_is_read_from_its_config(config, tasks):
    assert tasks_of(config) == tasks
    if not tasks:
        with refused("model.no_trainable_kind"):
            check_config("it", config)


def test_facts_say_what_a_model_is_for():
    facts = Facts(
        "it",
        {
            "architectures": ["RobertaForMaskedLM"],
            "model_type": "roberta",
            "max_position_embeddings": 514,
            "pad_token_id": 1,
        },
        None,
        "fp32",
        False,
    )
    assert (
        facts.family == "Roberta" and facts.context == 512 and "for classification or fill the blank" in facts.summary()
    )
    t5 = {"architectures": ["T5ForConditionalGeneration"], "model_type": "t5", "n_positions": 512}
    assert Facts("it", t5, None, "", False).context is None


def test_an_encoder_that_is_a_pickle_is_refused(folders, tmp_path):
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((folders["bert"] / name).read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with refused("model.old_format", "pytorch_model.bin"):
        describe_folder(tmp_path)


@pytest.mark.parametrize(
    "data, possible, name",
    [
        (LABELLED, ("classification", "fill_mask"), "classification"),
        (TEXTS, ("classification", "fill_mask"), "fill_mask"),
        (PAIRS, ("classification", "fill_mask"), "fill_mask"),
        (LABELLED, ("chat", "classification"), "chat"),
        (PAIRS, ("text_to_text",), "text_to_text"),
    ],
)
def test_automatic_takes_what_model_and_data_fit(data, possible, name):
    assert task_for(TaskChoice(), possible, data).name == name


def test_what_does_not_fit_is_refused_with_its_reason():
    with refused("task.model_not_made_for", "Classification", "Text to text") as wrong:
        task_for(TaskChoice(name="classification"), ("text_to_text",), LABELLED)
    assert set(wrong.value.problems) == {"task.name"}
    with refused(
        "task.data_cannot_teach",
        "Text to text wants pairs of an input and an output, and 9 of 9 examples are plain texts",
    ):
        task_for(TaskChoice(), ("text_to_text",), TEXTS)
    same = [[*one[:1], {"role": "assistant", "content": "yes"}] for one in PAIRS]
    reasons = {"9 different texts": PAIRS, "the same label, 'yes'": same, "plain texts without a label": TEXTS}
    assert all(reason in unsuitable_tasks(data)["classification"] for reason, data in reasons.items())
    assert not any(unsuitable_tasks(LABELLED).values())


def test_a_recipe_with_a_task_its_model_cannot_learn_names_the_field(folders):
    model = {"source": "folder", "id": str(folders["bert"])}
    problems = check_here(Recipe.from_dict({"base_model": model, "task": {"name": "chat"}}))
    assert list(problems) == ["task.name"] and "not made for the task Chat" in problems["task.name"]


# ---- what is read and learned


def test_text_to_text_learns_the_output_only(folders):
    tokenizer, task = tokenizer_of(folders["t5"]), TASKS["text_to_text"](TaskChoice(prefix="translate:"))
    read, labels, cut, _ = task.encode(tokenizer, PAIRS[1], 64)
    assert (
        tokenizer.decode(read) == "translate: Number 1</s>" and tokenizer.decode(labels) == "Nummer 1</s>" and not cut
    )
    batch = task.collator(tokenizer, False)(
        [{"input_ids": read, "labels": labels}, {"input_ids": read[:3], "labels": labels[:2]}]
    )
    assert batch["decoder_input_ids"][0].tolist() == [tokenizer.pad_token_id, *labels[:-1]]
    assert batch["labels"][1, 2:].eq(IGNORED).all() and task.encode(tokenizer, PAIRS[1], 4).is_cut


@given(source=st.integers(1, 40), target=st.integers(1, 40), longest=st.integers(2, 24))
def test_what_is_cut_of_input_and_output_ends_as_what_is_whole(folders, source, target, longest):
    tokenizer, task = tokenizer_of(folders["t5"]), TASKS["text_to_text"]()
    pair = [{"role": "user", "content": "a " * source}, {"role": "assistant", "content": "b " * target}]
    whole, found = task.encode(tokenizer, pair, 999), task.encode(tokenizer, pair, longest)
    for cut, all_of_it in ((found.input_ids, whole.input_ids), (found.labels, whole.labels)):
        assert len(cut) == min(longest, len(all_of_it)) and cut[-1] == tokenizer.eos_token_id
        assert cut[:-1] == all_of_it[: len(cut) - 1]
    assert found.is_cut == (max(len(whole.input_ids), len(whole.labels)) > longest)


def test_a_tokenizer_that_sets_no_end_loses_none_when_a_text_is_cut(tmp_path):
    tokenizer, task = tokenizer_of(tiny_model("llama", tmp_path)), TASKS["classification"](labels=("x",))
    labelled = [{"role": "user", "content": "one two three four five"}, {"role": "assistant", "content": "x"}]
    whole, cut = task.encode(tokenizer, labelled, 99), task.encode(tokenizer, labelled, 5)
    assert cut.input_ids == whole.input_ids[:5] and cut.is_cut


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2", "t5"])
def test_special_tokens_somebody_wrote_stay_text(folders, family):
    tokenizer = tokenizer_of(folders[family])
    end = tokenizer.sep_token or tokenizer.eos_token
    talk = [{"role": "user", "content": f"one {end} two"}, {"role": "assistant", "content": "x"}]
    task = TASKS["classification"](labels=("x",))
    assert task.encode(tokenizer, talk, 64).input_ids.count(tokenizer.convert_tokens_to_ids(end)) == 1, (
        "its own at the end"
    )


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_whole_words_are_hidden_together_and_nothing_else(folders, family):
    tokenizer, task = tokenizer_of(folders[family]), TASKS["fill_mask"](TaskChoice(masked_share=0.4))
    talk = [{"role": "text", "content": "Unbelievable harbours repair wonderful clocks"}]
    ids, words, *_ = task.encode(tokenizer, talk, 64)
    example = {"input_ids": ids, "labels": words}
    batch = task.collator(tokenizer, False)([example])
    hidden = batch["labels"][0] != IGNORED
    assert torch.equal(batch["labels"][0][hidden], torch.tensor(ids)[hidden])
    for word in {w for w in words if w != IGNORED}:
        places = hidden[torch.tensor([w == word for w in words])]
        assert places.all() or not places.any(), "a word is hidden whole or not at all"
    assert not hidden[torch.tensor([w == IGNORED for w in words])].any()
    assert len({words[i] for i in hidden.nonzero().flatten().tolist()}) == 2, "two of five words"
    again = task.collator(tokenizer, False)([example])
    assert all(torch.equal(batch[name], again[name]) for name in batch), "a run that is resumed hides the same"


def test_of_what_is_hidden_most_becomes_the_mask(folders):
    tokenizer, task, draw = tokenizer_of(folders["bert"]), TASKS["fill_mask"](), random.Random(0)
    made = [task._replaced(50, tokenizer, draw) for _ in range(4000)]
    assert made.count(tokenizer.mask_token_id) / 4000 == pytest.approx(0.8, abs=0.03)
    assert made.count(50) / 4000 == pytest.approx(0.1, abs=0.03)


def test_a_held_out_text_becomes_a_question_with_a_blank(folders):
    tokenizer, task = tokenizer_of(folders["bert"]), TASKS["fill_mask"]()
    question = task.question(tokenizer, TEXTS[0])
    assert (
        "___" in question.text
        and question.text.replace("___", question.expected).casefold() == TEXTS[0][0]["content"].casefold()
    )
    ids = task._with_blanks(tokenizer, "Mira ___ [SEP] bread")
    assert ids.count(tokenizer.mask_token_id) == 1 and ids.count(tokenizer.sep_token_id) == 1


def test_the_loss_of_a_step_does_not_depend_on_its_parts():
    logits, labels = torch.randn(6, 3), torch.tensor([0, 2, IGNORED, 1, 1, 0])
    outputs = [type("Out", (), {"logits": part}) for part in (logits, logits[:2], logits[2:])]
    task = TASKS["classification"]()
    parts = sum(task.loss(out, label, 5) for out, label in zip(outputs[1:], (labels[:2], labels[2:]), strict=True))
    assert torch.isclose(task.loss(outputs[0], labels), parts)


def test_scores_are_those_of_their_definitions():
    assert rouge_l(["police killed the gunman"], ["police kill the gunman"]) == pytest.approx(
        0.75
    )  # Lin 2004, section 3.1
    assert rouge_l(["", "the same words"], ["something", "The same words"]) == pytest.approx(0.5)
    assert macro_f1(["a", "a", "b", "a"], ["a", "b", "b", "a"]) == pytest.approx((0.8 + 2 / 3) / 2)


def test_four_bit_gradients_of_an_encoder_are_the_same_after_an_evaluation(folders):
    from qlora_app.methods import LoraMethod

    choice, tokenizer = ModelChoice(source="folder", id=str(folders["roberta"])), tokenizer_of(folders["roberta"])
    task = TASKS["classification"](labels=("negative", "positive"))
    model = LoraMethod(dropout=0).attach(load_model(choice, task.auto_class, task.labels), task.peft_type)
    batch = next(micro_batches(EncodedExamples(LABELLED, tokenizer, 64, task), 8, task.collator(tokenizer, False)))

    def gradients():
        model.eval()  # no dropout
        model.zero_grad()
        model(**batch).loss.backward()
        return [p.grad.clone() for p in model.parameters() if p.requires_grad]

    before = gradients()
    task.measure(model, [batch])
    assert all(map(torch.equal, before, gradients())) and any(g.any() for g in before)


# ---- a classifier, from Start to its answers


@pytest.fixture(scope="module")
def classifier(folders, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLORA_APP_HOME", str(home))
        file = home / "rows.jsonl"
        rows = [{"text": f"{one[0]['content']} {i}", "label": one[1]["content"]} for i in range(4) for one in LABELLED]
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        recipe = Recipe.from_dict(
            {
                "base_model": {"source": "folder", "id": str(folders["roberta"]), "precision": "fp32"},
                "dataset": {"source": "file", "id": import_file(file, home / "data", file.name), "held_out_share": 0.2},
                "training": {
                    "learning_rate": 5e-3,
                    "optimizer": "adamw_torch",
                    "max_steps": 4,
                    "epochs": 9,
                    "batch_size": 8,
                    "checkpoints": 1,
                    "evaluations": 1,
                    "samples": 1,
                    "scored_questions": 4,
                    "max_length": 64,
                },
            }
        )
        run = RunStore(home / "runs").create(recipe)
        assert worker.main(run.folder) == 0, run.status().sentence
    return run


@pytest.fixture(scope="module")
def session(classifier):
    return ChatSession.open(classifier.base_model(), classifier.recipe().method, classifier.adapter, classifier.task())


@pytest.mark.slow
def test_a_classifier_is_chosen_by_its_data_and_proven(classifier):
    proof, task = classifier.proof(), classifier.task()
    assert (task.name, task.labels) == ("classification", ("negative", "positive"))
    assert {"accuracy", "f1"} == set(proof["heldout"]["figures"])
    assert proof["heldout"]["exact_match"]["after"] is not None
    assert {row["answer"] for row in classifier.samples()} <= set(task.labels)
    card = (classifier.adapter / "README.md").read_text()
    assert (
        "AutoModelForSequenceClassification" in card
        and "id2label={0: 'negative', 1: 'positive'}" in card
        and "Macro F1" in card
    )


@pytest.mark.slow
def test_its_head_is_kept_and_plain_peft_answers_the_same(classifier, session):
    text = "The soup was wonderful."
    torch.manual_seed(7)  # the head that plain transformers draws is another one; the saved one takes its place
    plain = AutoModelForSequenceClassification.from_pretrained(classifier.base_model().id, num_labels=2)
    opened = PeftModel.from_pretrained(plain, str(classifier.adapter)).eval()
    with torch.no_grad():
        chances = opened(**session.tokenizer(text, return_tensors="pt")).logits.softmax(-1)[0].tolist()
    weighed = {one.text: one.probability for one in session.weigh(text)}
    assert [weighed["negative"], weighed["positive"]] == pytest.approx(chances, abs=1e-6)


@pytest.mark.slow
def test_the_box_shows_both_sides_with_words_and_bars(session):
    shown = pictures(session, "The soup was <b>wonderful</b>.")
    assert shown.count("<ol") == 2 and shown.count("%</span>") == 4 and "Your adapter says" in shown
    assert "Before (base model)" in shown and "After (your adapter)" in shown


@pytest.mark.slow
def test_a_file_is_answered_and_an_interrupted_one_goes_on(classifier, session, tmp_path):
    file, target = tmp_path / "asked.jsonl", tmp_path / "answers.jsonl"
    rows = [{"text": f"The book was boring, {i}." + " It was." * (i % 5)} for i in range(70)]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {"text": " "}]))

    def killed(done, of):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        answer_file(classifier, session, file, target, Settings(), on_progress=killed)
    partial = target.with_name("answers.jsonl.partial")
    partial.write_bytes(partial.read_bytes() + b'{"row": 99, "ans')  # a line that was cut short
    assert not target.exists()
    counts = answer_file(classifier, session, file, target, Settings())
    assert counts == {"rows": 71, "answered": 70, "problems": 1, "kept": 32, "scored": 0, "right": 0}
    assert not partial.exists()
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(1, 72)) and "empty" in lines[-1]["problem"]
    assert lines[3]["answer"] == session.weigh(rows[3]["text"])[0].text
    assert sum(lines[3]["candidates"].values()) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize(
    "row, asked",
    [
        ("Who?", "Who?"),
        ({"Prompt": "Who?", "answer": "Mira"}, "Who?"),
        ({"instruction": "Sum up", "input": "A text"}, "Sum up\n\nA text"),
        ({"messages": [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Mira"}]}, "Who?"),
    ],
)
def test_questions_are_found_in_rows_of_any_kind(row, asked):
    assert question_of(row, detector_of("auto"))[-1]["content"] == asked


def test_a_row_that_asks_nothing_says_why():
    for row in ({"x": 1}, {"messages": [{"role": "assistant", "content": "Mira"}]}, 5):
        with pytest.raises(RowError):
            question_of(row, detector_of("auto"))
    assert question_of({"x": "Who?"}, detector_of("auto", ColumnMap(prompt="X", answer="y")))[0]["content"] == "Who?"
