"""Several adapters of one base become one: what PEFT makes of them, what is refused before, and the run that comes of
it.
"""

import json
import shutil
from pathlib import Path

import gradio as gr
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from qlora_app import worker
from qlora_app.cli import main
from qlora_app.errors import UserError, sentence_of
from qlora_app.inference.pool import ModelPool
from qlora_app.kinds.merge import MergeSpec, equal_parts, merge_job, merge_spec, merged
from qlora_app.kinds.merge_checks import checked
from qlora_app.methods.combining import Combination, combine
from qlora_app.methods.fitting import CONFIG, WEIGHTS
from qlora_app.runs import RunStore, address_of
from qlora_app.runs.labels import labels_of
from qlora_app.runs.merges import Fidelity, Parent, Part, merge_of
from qlora_app.runs.proof import Proof, Shares
from qlora_app.runs.verdict import verdict
from qlora_app.settings import Settings
from qlora_app.start_from import problems_of
from qlora_app.ui.runs.run_pages import settings_page
from tests.fixtures.finished import finished_run
from tests.fixtures.page import event
from tests.refusing import check_problem, refused
from tests.tiny_models import tiny_network

PLAIN = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}
OF_GPT2 = {"target_modules": ["c_attn"], "fan_in_fan_out": True}


def with_adapters(family="llama", **configs):
    """A tiny network with such adapters, none of which is nothing."""
    model = None
    for name, config in configs.items():
        made = LoraConfig(**(PLAIN | config))
        if model is None:
            model = get_peft_model(tiny_network(family), made, name)
        else:
            model.add_adapter(name, made)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


def changes(model, name):
    """{layer: what an adapter adds to its weight}."""
    layers = {full: one for full, one in model.named_modules() if isinstance(one, LoraLayer) and name in one.lora_A}
    return {full: layer.get_delta_weight(name).detach() for full, layer in layers.items()}


def distance(model, name, *parts):
    """How far an adapter is from a sum of others, as a share of that."""
    there, wanted = changes(model, name), {}
    for part, weight in parts:
        for layer, change in changes(model, part).items():
            wanted[layer] = wanted.get(layer, 0) + weight * change
    assert there.keys() == wanted.keys()
    far = sum(float((there[layer] - wanted[layer]).norm() ** 2) for layer in wanted)
    return (far / sum(float(one.norm() ** 2) for one in wanted.values())) ** 0.5


HALVES = [("a", 0.5), ("b", 0.5)]


# ---- what PEFT makes of them


@pytest.mark.parametrize(
    ("family", "first", "second"),
    [
        ("llama", {}, {"target_modules": ["q_proj", "v_proj"]}),
        ("qwen3", {}, {"r": 8, "use_rslora": True}),
        ("gemma2", {"use_rslora": True}, {"rank_pattern": {"q_proj": 2}}),
        ("phi3", {"target_modules": r".*qkv_proj"}, {"target_modules": ["o_proj"]}),
        ("gpt2", OF_GPT2, OF_GPT2 | {"r": 2}),
        ("llama", {"layers_to_transform": [0]}, {"init_lora_weights": "olora"}),
    ],
    ids=["other layers", "other scale", "other ranks", "names and patterns", "turned weights", "some blocks"],
)
def test_cat_is_the_sum_of_the_changes_and_svd_of_enough_rank_too(family, first, second):
    model = with_adapters(family, a=first, b=second)
    before = dict(model.peft_config)
    combine(model, HALVES, "cat")
    assert distance(model, "cat", *HALVES) < 1e-6
    combine(model, [("a", 1.0), ("b", 0.0)], "one")
    for layer, change in changes(model, "a").items():
        assert torch.allclose(changes(model, "one")[layer], change, atol=1e-6)
    combine(model, HALVES, "svd", Combination(by="svd", rank=16))
    assert distance(model, "svd", *HALVES) < 1e-5
    assert {name: model.peft_config[name] for name in before} == before


def test_linear_is_no_average_not_even_of_one_with_itself():
    """PEFT takes the root of each weight for A and for B, and adds before it multiplies."""
    model = with_adapters(a={}, b={})
    combine(model, [("a", 0.5), ("a", 0.5)], "itself", Combination(by="linear"))
    assert distance(model, "itself", ("a", 2.0)) < 1e-6, "(2 * 0.5 ** 0.5) ** 2 times"
    combine(model, HALVES, "linear", Combination(by="linear"))
    assert distance(model, "linear", *HALVES) > 0.5, "which is why cat is the one that is offered first"


def test_what_is_drawn_is_drawn_by_its_seed_and_leaves_the_rest_of_chance_alone():
    model = with_adapters(a={}, b={})
    made = {}
    for name, seed in (("first", 7), ("again", 7), ("other", 8)):
        torch.manual_seed(3)
        combine(model, HALVES, name, Combination(by="dare_ties_svd", density=0.3, seed=seed))
        made[name] = (torch.rand(1), changes(model, name))
    assert torch.equal(made["first"][0], made["again"][0])
    drawn = [torch.cat([one.flatten() for one in changes.values()]) for _, changes in made.values()]
    assert torch.equal(drawn[0], drawn[1]) and not torch.allclose(drawn[0], drawn[2])


@pytest.mark.parametrize("by", Combination.model_fields["by"].annotation.__args__)
def test_each_combination_is_made_and_says_what_it_reads(by):
    model = with_adapters(a={}, b={})
    how = Combination(by=by, density=0.4)
    combine(model, HALVES, "made", how)
    assert all(one.isfinite().all() and one.any() for one in changes(model, "made").values())
    assert how.words.startswith(by) and ("0.4" in how.words) == how.prunes and ("seed" in how.words) == how.draws


# ---- a run that comes of it


def two_runs(home, family, task="chat", on="nf4", **second):
    """Two finished runs on one base, the second of which learned something else. on: the precision of the first's."""
    first = finished_run(family, task, home, precision=on)
    base = tiny_folder(first)
    return first, finished_run(family, task, home, base, seed=1, **second)


def tiny_folder(run):
    return Path(run.recipe().base_model.id)


def spec_of(*parts, **more):
    """parts: a run, or a run and its weight."""
    given = [part if isinstance(part, tuple) else (part, 0.5) for part in parts]
    how = Combination(**more.pop("how", {}))
    return MergeSpec(parts=[Part(run=run.id, weight=weight) for run, weight in given], how=how, questions=3, **more)


def merged_run(home, *parts, **more):
    job = merge_job(spec_of(*parts, **more), Settings.from_environment())
    assert worker.main(job.folder) == 0, job.status().sentence
    return RunStore(home / "runs").get(merged(job))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "task", "second"),
    [("llama", "chat", {}), ("gpt2", "chat", {"layers": "attention"}), ("t5", "text_to_text", {"rank": 8})],
)
def test_one_that_counts_alone_answers_as_it_did(family, task, second, home):
    one, other = two_runs(home, family, task, **second)
    run = merged_run(home, (one, 1.0), (other, 0.0))
    told = merge_of(run)
    assert [part.run for part in told.parents] == [one.id, other.id] and told.rank == 4 + second.get("rank", 4)
    mine, its = told.parents[0].fidelity, told.parents[1].fidelity
    assert (mine.same, mine.questions, mine.first_choice) == (3, 3, 1.0) and mine.logits < 1e-5
    assert its.logits > 1e-2 and its.questions == 3, "it learned something else"
    assert run.recipe().dataset == one.recipe().dataset and labels_of(run).tags == ("merged",)
    config = json.loads((run.adapter / CONFIG).read_text())
    assert config["r"] == config["lora_alpha"] == told.rank and not config["use_rslora"]
    found = verdict(Proof.from_json(run.proof()))
    assert found.code == "merged" and told.parents[1].words_of("adapter 2") in found.why


@pytest.mark.slow
def test_plain_peft_opens_what_was_drawn_and_the_seed_draws_it_again(home):
    one, other = two_runs(home, "qwen3", on="fp32", precision="fp32")
    how = {"by": "dare_linear_svd", "density": 0.6, "seed": 5, "rank": 6}
    run, again = (merged_run(home, one, (other, -0.5), how=how, name="Both") for _ in range(2))
    weights = load_file(run.adapter / WEIGHTS)
    assert all(torch.equal(one, weights[name]) for name, one in load_file(again.adapter / WEIGHTS).items())
    assert merge_of(run).how["seed"] == 5 and "seed 5" in merge_of(run).sum and run.title == "Both"
    base = AutoModelForCausalLM.from_pretrained(str(tiny_folder(one)), dtype=torch.float32)
    opened = PeftModel.from_pretrained(base, str(run.adapter)).eval()
    pool, ids = ModelPool(), torch.tensor([[5, 9, 20, 33, 40]])
    session = pool.get(run)
    with torch.no_grad():
        ours = session.alone(lambda: session.model(input_ids=ids).logits)
        assert torch.allclose(ours, opened(input_ids=ids).logits, atol=1e-4)
    pool.make_way()
    beginning = run.recipe()
    training = beginning.training.model_copy(update={"start_from": run.id})
    assert problems_of(beginning.model_copy(update={"training": training}), home / "runs") == {}


@pytest.mark.slow
def test_each_is_asked_on_the_base_that_it_learned_beside_and_data_of_several_are_none(home):
    one, other = two_runs(home, "llama", precision="fp32")
    recipe = other.recipe()
    data = recipe.dataset.model_copy(update={"split_seed": 7})
    (other.folder / "recipe.yaml").write_text(recipe.model_copy(update={"dataset": data}).to_yaml())
    job = merge_job(spec_of(one, (other, 0.0), how={"by": "svd"}), Settings.from_environment())
    found = checked(job.spec(MergeSpec).parts, Combination(by="linear"), RunStore(home / "runs"))
    assert [note.code for note in found.notes] == ["merge.is_apart", "merge.other_precision"]
    assert worker.main(job.folder) == 0, job.status().sentence
    run = RunStore(home / "runs").get(merged(job))
    assert run.base_model().precision == "nf4" and run.recipe().dataset.id == "not known"
    (note,) = merge_of(run).notes
    check_problem(sentence_of(note), "merge.other_precision", "nf4", "fp32")


# ---- what is refused, before anything is loaded


def problems(home, *parts, **more):
    spec = spec_of(*parts, **more)
    with pytest.raises(UserError) as caught:
        checked(spec.parts, spec.how, RunStore(home / "runs"))
    return {field: (problem.code, problem.values) for field, problem in caught.value.problems.items()}


def codes(found):
    return {field: code for field, (code, _) in found.items()}


def rewritten(run, **config):
    known = json.loads((run.adapter / CONFIG).read_text())
    (run.adapter / CONFIG).write_text(json.dumps(known | config))


def copy_of(run, name, **method):
    """The same adapter under another name, whose recipe says this of its method."""
    made = RunStore(run.folder.parent).get(shutil.copytree(run.folder, run.folder.parent / name).name)
    recipe = made.recipe()
    changed = recipe.method.model_copy(update=method)
    (made.folder / "recipe.yaml").write_text(recipe.model_copy(update={"method": changed, "name": name}).to_yaml())
    return made


def test_every_mistake_is_said_at_once_and_at_its_field(home):
    """Everything that can be wrong with a run, of copies of one; each sentence names it."""
    first = finished_run("llama", "chat", home)
    wrong = {name: copy_of(first, name) for name in ("dora", "whole", "ia3", "weights", "task", "biases", "unfinished")}
    rewritten(wrong["dora"], use_dora=True)
    rewritten(wrong["whole"], modules_to_save=["lm_head"])
    rewritten(wrong["ia3"], peft_type="IA3")
    rewritten(wrong["biases"], bias="all")
    (wrong["weights"].folder / "base.json").write_text(json.dumps({"weights": "others"}))
    (wrong["task"].folder / "task.json").write_text(json.dumps({"name": "text_to_text"}))
    recipe = wrong["task"].recipe()
    told = recipe.model_copy(update={"task": recipe.task.model_copy(update={"name": "text_to_text"})})
    (wrong["task"].folder / "recipe.yaml").write_text(told.to_yaml())
    (wrong["unfinished"].adapter / "proof.json").unlink()
    gone = Part(run="gone", weight=0.0)
    with pytest.raises(UserError) as caught:
        parts = [Part(run=run.id, weight=0.0) for run in (first, *wrong.values())]
        checked([*parts, gone], Combination(), RunStore(home / "runs"))
    said = caught.value.problems
    assert {field: problem.code for field, problem in said.items()} == {
        "weights": "merge.no_weight",
        "parts": "merge.too_many",
        "parts.dora": "merge.dora",
        "parts.whole": "merge.learned_whole",
        "parts.ia3": "merge.no_lora",
        "parts.weights": "merge.other_weights",
        "parts.task": "merge.other_task",
        "parts.biases": "adapter.changes_base",
        "parts.unfinished": "adapter.not_finished",
        "parts.gone": "run.not_there",
    }
    assert all(name in said[f"parts.{name}"] for name in wrong if name != "biases")


def test_of_fewer_than_two_there_is_nothing_to_merge(home):
    run = finished_run("llama", "chat", home)
    assert codes(problems(home, run)) == {"parts": "merge.too_few"}
    assert codes(problems(home, run, run)) == {"parts": "merge.twice"}
    with refused("merge.weights_count", 2, 1):
        equal_parts(["a", "b"], [1.0])
    with refused("merge.wrong_value", "weight"):
        equal_parts(["a", "b"], [1.0, 9.0])
    with refused("merge.wrong_value", "density"):
        merge_spec([], {"density": 0.0})
    assert [part.weight for part in equal_parts(["a", "b"])] == [0.5, 0.5]


def test_what_does_not_fit_the_combination_is_said_at_it(home):
    one, other = two_runs(home, "gemma2", rank=8, rank_stabilized=True)
    for by in ("linear", "ties", "dare_linear"):
        assert problems(home, one, other, how={"by": by})["how.by"] == (
            "merge.ranks_differ",
            {"by": by, "ranks": "4, 8"},
        )
    assert codes(problems(home, one, other, how={"by": "svd", "rank": 65})) == {"how.rank": "merge.rank_beyond"}
    checked(spec_of(one, other, how={"by": "svd"}).parts, Combination(by="svd", rank=32), RunStore(home / "runs"))
    bound = copy_of(one, "bound", initialisation="loftq")
    recipe = bound.recipe()
    base = recipe.base_model.model_copy(update={"precision": "fp4"})
    (bound.folder / "recipe.yaml").write_text(recipe.model_copy(update={"base_model": base}).to_yaml())
    assert codes(problems(home, one, bound)) == {"parts.bound": "merge.bound_to_precision"}
    elsewhere = finished_run("llama", "chat", home)
    assert codes(problems(home, one, elsewhere)) == {f"parts.{elsewhere.id}": "merge.other_base"}


def test_how_it_stands_to_each_is_coloured_by_the_right_answers_that_were_lost():
    def parent(before, after, questions=10):
        return Parent(title="A", fidelity=Fidelity(questions=questions, same=4, exact_match=Shares(before, after)))

    assert [parent(0.9, after).level for after in (0.9, 0.89, 0.85, 0.5)] == ["green", "green", "amber", "red"]
    assert parent(None, None).level == "unknown" and "general" in parent(None, None).words
    assert "90.0% of A" in parent(0.9, 0.5).words and "not measured" in parent(None, None, 0).words


# ---- on the page


@pytest.mark.slow
def test_the_form_says_each_problem_at_its_field_and_a_run_comes_of_it(workshop, page, home):
    one, other = two_runs(home, "llama")
    tab, ids = workshop.runs, [one.id, other.id]
    form = tab.side_by_side.merging
    words = tab.compare(event(runs=ids))[tab.comparison]
    assert f'data-problem="parts.{other.id}"' in words and 'value="0.5" min="-2"' in words
    assert 'data-by="ties_svd dare_ties_svd ties dare_ties"' in words, "the sign is voted on by TIES alone"
    asked = {"runs": ids, "weights": ["1", "0"], "how": {"by": "linear", "rank": "0", "seed": "3"}, "name": "Both"}
    told = form.merge_check(asked)
    assert told["problems"] == {} and [note.code for note in told["notes"]] == ["merge.is_apart"]
    wrong = form.merge_check(asked | {"how": {"by": "svd", "rank": "500", "density": "x"}})["problems"]
    assert {field: problem.code for field, problem in wrong.items()} == {"how.density": "merge.wrong_value"}
    for strange in (None, [], {"runs": 5, "weights": {}, "how": 7}, asked | {"weights": ["", "2"]}):
        assert form.merge_check(strange)["problems"]
    with refused("merge.no_weight", kind=gr.Error):
        form.merge(event(**asked | {"weights": ["0", "0"]}))
    job = page.jobs.get(form.merge(event(**asked))[form.card])
    assert page.supervisor.woken and worker.main(job.folder) == 0
    seen = tab.show_merged({form.card: address_of(job), tab.compared: ",".join(ids)})
    assert set(seen) <= set(tab.view) and seen[tab.card] == merged(job)
    elsewhere = tab.show_merged({form.card: address_of(job), tab.compared: ""})
    assert tab.card not in elsewhere, "somebody looks at something else"
    run = page.find(merged(job))
    shown = settings_page(run, True, page.find)
    assert "1 * tiny-llama on chat.jsonl" in shown and f"run={other.id}" in shown and "Merged of" in shown
    to_others = settings_page(run, False)
    assert "adapter 2" in to_others, "of what was not shared a visitor is told no name, no link and no question"
    parts = to_others.split("Merged of")[1].split("<table")[0]
    assert other.id not in parts and "tiny-llama" not in parts and "Mira" not in parts
    assert "tiny-llama" not in " ".join(Proof.from_json(run.proof()).merged)


@pytest.mark.slow
def test_command_and_python_merge_in_the_same_words(home, capsys):
    import qlora_app

    one, other = two_runs(home, "llama")
    given = [one.id, other.id, "--weights", "1", "0.5", "--by", "ties_svd", "--density", "0.7", "--questions", "2"]
    assert main(["merge", *given, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["how"]["density"] == 0.7 and [one["weight"] for one in told["parents"]] == [1.0, 0.5]
    assert json.loads(json.dumps(qlora_app.run(told["run"]).merge()))["parents"] == told["parents"]
    assert main(["merge", one.id]) == 2 and "two adapters or more" in capsys.readouterr().err
    with refused("merge.no_weight"):
        qlora_app.merge(one.id, other.id, weights=[0, 0])
