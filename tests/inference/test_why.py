"""Why this answer: what adapter and base gave every token of it, under the law of the prompt."""

import json

import pytest
import torch

from qlora_app.base_models import ModelChoice, load_model, load_tokenizer
from qlora_app.cli.commands import main
from qlora_app.inference import why as module
from qlora_app.inference.rows import BASE
from qlora_app.inference.session import ChatSession, Decoding
from qlora_app.inference.why import why
from qlora_app.recipe import Recipe
from qlora_app.tasks import TASKS
from tests.refusing import refused
from tests.tiny_models import tiny_model

TALK = [
    {"role": "user", "content": "Who is the baker?"},
    {"role": "assistant", "content": "Mira bakes bread."},
    {"role": "user", "content": "Where does she live?"},
]
HELPER = ("chat", "starter", "lora")
KINDS = [HELPER, ("chat", "gpt2", "lora"), ("chat", "gpt2", "prefix"), ("text_to_text", "t5", "lora")]


def session_of(folder, task_name, family, method_name):
    """An adapter that says something else than its base."""
    choice = ModelChoice(precision="fp32")
    if family != "starter":
        choice = ModelChoice(source="folder", id=str(tiny_model(family, folder)), precision="fp32")
    task = TASKS[task_name](labels=("yes", "no") if task_name == "classification" else ())
    tokenizer, model = load_tokenizer(choice), load_model(choice, task.auto_class, task.labels)
    task.prepare(tokenizer, model)
    method = Recipe.from_dict({"method": {"name": method_name}}).method
    torch.manual_seed(0)
    model = method.attach(model, task.peft_type)
    for name, parameter in model.named_parameters():
        if "lora_B" in name or "prompt_encoder" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    method.save(model, folder / "adapter")
    tokenizer.save_pretrained(str(folder / "adapter"))
    return ChatSession.open(choice, method, folder / "adapter", task)


@pytest.fixture(scope="module")
def helper(tmp_path_factory):
    return session_of(tmp_path_factory.mktemp("helper"), *HELPER)


def loss_of(session, answer, base):
    """Nats of the whole answer as a training measures them, and of how many tokens."""
    example = [*({**one, "train": False} for one in TALK), {"role": "assistant", "content": answer}]
    encoded = session.task.encode(session.tokenizer, example, 10_000)
    collate = session.task.collator(session.tokenizer, packing=False)
    batch = collate([{"input_ids": encoded.input_ids, "labels": encoded.labels}])
    count = int((batch["labels"] != -100).sum())
    measured = session.base.engine.alone(
        lambda: session.task.measure(session.model, [batch]), BASE if base else session.name
    )
    return measured["loss"] * count, count


@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_the_tokens_cost_what_a_training_would_measure(kind, tmp_path):
    """The law of the prompt: what is looked at is what would be learned, after the same prompt."""
    session = session_of(tmp_path, *kind)
    found = why(session, TALK, "In the blue house, wo es schön ist 🦙.")
    for base in (False, True):
        nats, tokens = loss_of(session, "In the blue house, wo es schön ist 🦙.", base)
        said = -sum(part.base if base else part.adapter for part in found.parts)
        assert said == pytest.approx(nats, rel=1e-3) and len(found.parts) <= tokens
    assert found.parts[-1].is_end and abs(found.difference) > 0.1
    shown = "".join(part.text for part in found.parts)
    assert "\N{REPLACEMENT CHARACTER}" not in shown
    if kind[0] == "chat":
        assert shown.strip() == "In the blue house, wo es schön ist 🦙."


def test_an_answer_that_was_just_written_has_the_probabilities_it_was_chosen_by(helper):
    writing = helper.write(TALK, helper.sampling(Decoding()), longest=20, logprobs=2)
    *_, said = writing
    ids = [token.id for token in said.written]
    found = why(helper, TALK, said.answer, answer_ids=ids)
    chosen = [token.chances.chosen for token in said.written]
    assert sum(part.adapter for part in found.parts) == pytest.approx(sum(chosen), abs=1e-3)
    for part in found.parts:
        assert part.adapter_likeliest[0].probability == max(one.probability for one in part.adapter_likeliest)
        if part.text.isascii():  # one token, and it is the likeliest
            assert part.text == part.adapter_likeliest[0].text
            assert part.adapter_share == pytest.approx(part.adapter_likeliest[0].probability, rel=1e-3)


def test_the_end_is_a_part_only_where_the_answer_ended(helper):
    whole = why(helper, TALK, "In the blue house.")
    cut = why(helper, TALK, "In the blue house.", has_ended=False)
    assert [part.is_end for part in whole.parts] == [False] * len(cut.parts) + [True]
    assert [part.text for part in whole.parts[:-1]] == [part.text for part in cut.parts]


def test_the_largest_differences_come_first(helper):
    found = why(helper, TALK, "In the blue house by the sea.")
    most = [abs(part.difference) for part in found.changed_most(3)]
    assert most == sorted((abs(part.difference) for part in found.parts), reverse=True)[:3]


def test_it_is_read_in_pieces_between_which_others_go_on(helper, monkeypatch):
    whole = why(helper, TALK, "In the blue house by the sea.")
    helper.base.engine.prefixes.forget()
    monkeypatch.setattr(module, "PIECE", {"cpu": 3})
    other = helper.write(TALK, helper.sampling(Decoding(temperature=1.0, seed=3)), longest=400)
    in_pieces = why(helper, TALK, "In the blue house by the sea.")
    during = len(other.row.written)
    other.cancel()
    assert during > 5, "another answer was written meanwhile"
    for one, again in zip(whole.parts, in_pieces.parts, strict=True):
        assert (one.text, one.adapter) == (again.text, pytest.approx(again.adapter, abs=1e-3))
        assert one.base == pytest.approx(again.base, abs=1e-3)


def test_what_is_longer_than_the_model_reads_is_said(helper):
    long = [{"role": "user", "content": "Tell me of the sea. " * 200}]
    found = why(helper, long, "It is wide.")
    assert "were not read" in found.note and "".join(part.text for part in found.parts).strip() == "It is wide."
    longer = why(helper, TALK, "It is wide. " * 300)
    assert "Of the answer the first" in longer.note


def test_what_has_no_tokens_is_refused_in_words(helper, tmp_path):
    with refused("why.no_answer"):
        why(helper, TALK, " ")
    classifier = session_of(tmp_path, "classification", "bert", "lora")
    with refused("why.no_tokens", classifier.task.title):
        why(classifier, TALK, "yes")


def test_the_command_says_it_for_scripts_and_people(answering_run, capsys):
    assert main(["why", answering_run.id, "Who is the baker?", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["run"] == answering_run.id and row["difference"] == 0, "an adapter before its first step"
    assert "".join(part["text"] for part in row["parts"]).strip() == row["answer"].strip()
    assert all(part["adapter"] <= 0 and len(part["adapter_likeliest"]) == 5 for part in row["parts"])
    assert main(["why", answering_run.id, "Who is the baker?", "--answer", "Mira."]) == 0
    assert "Mira." in (said := capsys.readouterr().out) and "changed most" in said
