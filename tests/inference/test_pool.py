"""Which models are in memory: one base for all its adapters, loaded in the background, given back in time."""

import gc
import os
import shutil
import threading
import time
import weakref
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

from qlora_app.base_models import ModelChoice
from qlora_app.hardware import Machine
from qlora_app.inference import engine, loaded, pool, session
from qlora_app.inference.pool import ModelPool
from qlora_app.inference.session import Decoding
from qlora_app.inference.sides import Here, Replies
from qlora_app.methods.from_peft import PromptMethod
from qlora_app.methods.lora import LoraMethod
from qlora_app.storage.files import write_json
from qlora_app.storage.reading import read_json
from qlora_app.tasks.chat import Chat
from tests.conftest import short_recipe, wait_for
from tests.fixtures.answering import save_adapter
from tests.refusing import refused

TALK = [{"role": "user", "content": "Where does Mira live?"}]
FEW = Decoding(max_new_tokens=6, base_temperature=0)


def draw_anew(run, seed):
    """Its adapter learns something else."""
    file = run.adapter / "adapter_model.safetensors"
    torch.manual_seed(seed)
    weights = {name: torch.randn_like(one) * 0.1 for name, one in load_file(file).items()}
    save_file(weights, file)
    os.utime(file, ns=(seed, seed))


@pytest.fixture
def runs(store):
    """Three that learned different things on one base."""
    made = []
    for seed in range(3):
        run = store.create(short_recipe())
        if made:
            shutil.copytree(made[0].adapter, run.adapter)
        else:
            save_adapter(run, run.adapter)
            write_json(run.adapter / "proof.json", {})
        draw_anew(run, seed)
        made.append(run)
    return made


@pytest.fixture
def opened(monkeypatch):
    """How often a base was read from the disk."""
    count = []
    load = loaded.load_model
    monkeypatch.setattr(loaded, "load_model", lambda *given, **how: count.append(given) or load(*given, **how))
    return count


def answer(one, base=False):
    *_, (said,) = Replies([(Here(one, base), TALK)], FEW)
    assert not said.error
    return said


def test_runs_of_one_base_share_it_and_answer_as_each_alone(runs, opened):
    alone = [answer(ModelPool().get(run)) for run in runs]
    assert len(set(alone)) == 3 and len(opened) == 3
    models = ModelPool()
    sessions = [models.get(run) for run in runs]
    assert len(opened) == 4 and len({one.base for one in sessions}) == 1 and models.get(runs[0]) is sessions[0]
    with torch.no_grad():
        together = [None] * 3
        threads = [
            threading.Thread(target=lambda place=place: together.__setitem__(place, answer(sessions[place])))
            for place in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert together == alone


def test_an_adapter_that_was_trained_anew_is_another_one(runs, opened):
    models = ModelPool()
    before = answer(models.get(runs[0]))
    draw_anew(runs[0], 9)
    assert answer(models.get(runs[0])) != before and len(opened) == 1
    assert answer(ModelPool().get(runs[0])) == answer(models.get(runs[0]))


def test_adapters_that_nobody_holds_make_room_for_others(runs, monkeypatch):
    monkeypatch.setattr(pool, "MOST_SESSIONS", 1)
    models = ModelPool()
    first = models.get(runs[0])
    for run in runs[1:]:
        models.get(run)
        gc.collect()
    models.get(runs[1])
    assert len(first.model.peft_config) < 4, "the first one stays, and who is held"
    assert answer(models.get(runs[1])) == answer(ModelPool().get(runs[1]))


def test_a_model_loads_in_the_background_and_says_how_far_it_is(runs, monkeypatch):
    may_load = threading.Event()
    load = loaded.load_model
    monkeypatch.setattr(loaded, "load_model", lambda *given, **how: may_load.wait(60) and load(*given, **how))
    models = ModelPool()
    assert models.state(runs[0]).state == "absent"
    models.load(runs[0])
    assert models.state(runs[0]).state == "loading"
    may_load.set()
    assert models.get(runs[0]) and models.state(runs[0]).state == "ready"


def test_why_it_could_not_be_loaded_is_kept_until_it_is_asked_again(runs):
    models, file = ModelPool(), runs[0].adapter / "tokenizer.json"
    kept = file.read_bytes()
    file.write_bytes(b"[]")
    with refused("adapter.not_opened"):
        models.get(runs[0])
    failed = models.state(runs[0])
    assert failed.state == "failed" and "cannot be opened" in failed.sentence
    file.write_bytes(kept)
    assert answer(models.get(runs[0])) and models.state(runs[0]).state == "ready"


def test_a_base_whose_adapter_does_not_fit_does_not_stay_in_memory(runs, monkeypatch):
    models, bases = ModelPool(), []

    def does_not_fit(model, name):
        bases.append(weakref.ref(model))
        raise ValueError("the sizes are others")

    monkeypatch.setattr(loaded, "check_numbers", does_not_fit)
    with refused("adapter.not_opened"):
        models.get(runs[0])
    assert models.state(runs[0]).state == "failed"

    def is_gone():
        gc.collect()
        return bases[0]() is None

    assert wait_for(is_gone)


def test_where_no_thread_can_be_started_nobody_waits(runs, monkeypatch):
    models, start = ModelPool(), threading.Thread.start

    def fails(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fails)
    with pytest.raises(RuntimeError):
        models.load(runs[0])
    assert models.state(runs[0]).state == "absent"
    monkeypatch.setattr(threading.Thread, "start", start)
    assert models.get(runs[0])


def test_while_a_model_is_loaded_it_is_told_how_much_of_it_is_there(runs, monkeypatch):
    models, told, tell = ModelPool(), [], pool._Progress.tell

    def note(progress, done, total):
        tell(progress, done, total)
        told.append((done, total, models.state(runs[0]).sentence))

    monkeypatch.setattr(pool._Progress, "tell", note)
    models.get(runs[0])
    counts, totals, sentences = zip(*told, strict=True)
    assert counts == tuple(range(len(told))) and set(totals) == {len(told) - 1} and len(told) > 20
    assert "… 0% of " in sentences[0] and "… 100% of " in sentences[-1]


def test_what_cannot_stand_beside_others_has_a_base_of_its_own(tmp_path):
    def base(method):
        return pool._Wanted(ModelChoice(), method, tmp_path, Chat()).base()

    assert base(LoraMethod()) == base(LoraMethod(rank=4)) != base(LoraMethod(train_embeddings=True))
    assert not LoraMethod(train_embeddings=True).supports_mixed_batch
    before = base(PromptMethod())
    (tmp_path / "adapter_model.safetensors").write_bytes(b"trained anew")
    assert base(LoraMethod()) != base(PromptMethod()) != before


@pytest.mark.parametrize("bias", ["all", "lora_only", ["q_proj"]])
def test_an_adapter_that_changes_the_base_of_others_is_not_put_on_it(runs, bias):
    config = runs[0].adapter / "adapter_config.json"
    write_json(config, read_json(config) | {"bias": bias})
    with refused("adapter.changes_base"):
        ModelPool().get(runs[0])


def test_what_made_way_goes_and_who_holds_it_may_go_on(runs):
    models = ModelPool()
    held = models.get(runs[0])
    before, model = answer(held, base=True), weakref.ref(held.model)
    assert wait_for(lambda base=held.base: not base.is_busy)
    models.make_way()
    assert models.state(runs[0]).state == "absent" and answer(held, base=True) == before
    held.base.close()
    thread = held.base.engine._thread
    del held
    if thread:
        thread.join()
    gc.collect()
    assert model() is None


def test_what_is_not_used_for_a_while_is_unloaded(runs, monkeypatch):
    models = ModelPool(unload_after=0)
    monkeypatch.setattr(models, "_keep_watch", lambda: None)
    hold, held = threading.Event(), threading.Event()
    busy = models.get(runs[0])
    thread = threading.Thread(daemon=True, target=lambda: busy.alone(lambda: held.set() or hold.wait()))
    thread.start()
    held.wait()
    models._look()
    assert models.state(runs[0]).state == "ready", "while it is used it stays"
    hold.set()
    thread.join()
    busy.base.engine.rest()
    wait_for(lambda: not busy.base.engine.is_busy)
    models._look()
    assert models.state(runs[0]).state == "absent"


@pytest.mark.parametrize(("machine", "stays"), [(Machine("cpu", 100, 90), True), (Machine("cpu", 100, 9), False)])
def test_a_job_that_comes_takes_memory_that_is_short(runs, machine, stays, monkeypatch):
    models = ModelPool()
    models.get(runs[0])
    monkeypatch.setattr(pool, "here", lambda: machine)
    models.give_way([SimpleNamespace(folder=runs[1].folder, is_alive=lambda: False)])
    assert (models.state(runs[0]).state == "ready") == stays


@pytest.mark.parametrize(("free", "stays"), [(1e12, True), (1.0, False)])
def test_another_base_takes_the_place_of_one_that_is_idle(runs, store, free, stays, monkeypatch):
    models = ModelPool()
    models.get(runs[0])
    monkeypatch.setattr(pool, "here", lambda: Machine("cpu", 1e12, free))
    recipe = short_recipe()
    other = store.create(
        recipe.model_copy(update={"base_model": recipe.base_model.model_copy(update={"precision": "bf16"})})
    )
    shutil.copytree(runs[0].adapter, other.adapter)
    assert answer(models.get(other)) is not None
    assert (models.state(runs[0]).state == "ready") == stays


def test_a_model_waits_and_says_so_while_a_training_has_the_memory(runs, monkeypatch):
    monkeypatch.setattr(pool, "LOOK_EVERY", 0.01)
    free, trains = [1000.0], [True]
    monkeypatch.setattr(pool, "here", lambda: Machine("cuda", 1e12, free[0]))
    models = ModelPool()
    models.give_way([SimpleNamespace(folder=runs[1].folder, is_alive=lambda: trains[0])])
    models.load(runs[0])
    wait_for(lambda: models.state(runs[0]).state == "waiting")
    assert "A training has the memory" in models.state(runs[0]).sentence
    free[0] = 1e12
    assert models.get(runs[0]) and models.state(runs[0]) == ("ready", "")
    models.give_way([SimpleNamespace(folder=runs[2].folder, is_alive=lambda: True)])
    assert models.state(runs[0]) == ("absent", pool.GIVEN_BACK["training"])
    free[0], trains[0] = 1000.0, False
    models.give_way([])
    assert models.get(runs[0]), "where nobody trains nothing is to be waited for"


def test_an_answer_that_was_stopped_goes_on_as_if_it_had_not_been(runs):
    one = ModelPool().get(runs[0])
    texts = {said.tokens: said for said in one.write(TALK, longest=12)}
    whole, half = texts[12], texts[6]
    *_, said = one.write(TALK, longest=6, begun=half)
    assert half and said == whole and said.tokens == 6 and said.why == "length"
    assert said.prompt_tokens > whole.prompt_tokens


def test_settings_of_an_answer_reach_its_row(runs):
    one = ModelPool().get(runs[0])
    decoding = Decoding(temperature=0.5, base_temperature=1.5, top_p=0.9, top_k=5, min_p=0.1, seed=3)
    how = one.sampling(decoding)
    assert how == session.Sampling(0.5, 0.9, 5, 0.1, 1.0, 3) and one.sampling(decoding, base=True).temperature == 1.5
    greedy = decoding.model_copy(update={"greedy": True})
    assert {one.sampling(greedy, base).temperature for base in (True, False)} == {0}
    one.model.generation_config.repetition_penalty = 1.3  # the model's own, where nobody says otherwise
    assert one.sampling(decoding).repetition_penalty == 1.3
    assert one.sampling(Decoding(repetition_penalty=1.1)).repetition_penalty == 1.1
    *_, said = one.write(TALK, how, longest=5, logprobs=2)
    assert said.prompt_tokens and len(said.written) == said.tokens
    assert all(len(token.chances.likeliest) == 2 for token in said.written)
    *_, again = one.write(TALK, how, longest=5)
    assert again == said and again.cached_tokens > 0


def test_answers_leave_room_for_a_training_on_their_processor(runs, monkeypatch):
    monkeypatch.setattr(engine, "PAUSE", 1e9)
    monkeypatch.setattr(engine, "LONGEST_PAUSE", 0.1)
    models = ModelPool()
    answering = models.get(runs[0])
    before = list(answering.write(TALK, longest=6))[-1]
    models.give_way([SimpleNamespace(folder=runs[1].folder, is_alive=lambda: True)])
    began = time.monotonic()
    assert list(answering.write(TALK, longest=6))[-1] == before
    pauses = before.tokens - 2  # the first step reads the question and writes two tokens; after the last nobody waits
    assert time.monotonic() - began >= 0.1 * pauses
    models.give_way([SimpleNamespace(folder=runs[1].folder, is_alive=lambda: False)])
    assert not answering.base.engine.shares(), "what only waits needs nothing"
