"""Tokenizers and chat templates of foreign folders are tried elsewhere, in a bounded time and memory."""

import json
import os
import shutil
import time

import psutil
import pytest

from qlora_app import starter
from qlora_app.errors import UserError
from qlora_app.inference.pool import ModelPool
from qlora_app.recipe import Recipe
from qlora_app.tasks import trial
from qlora_app.tasks.trial import check_tried
from tests.fixtures.page import PROOF, make_run
from tests.refusing import refused

pytestmark = pytest.mark.slow  # the process that tries imports for seconds
NAMES = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
ENDED = "model.trial_ended"
FAILED = "model.trial_failed"
MUCH = "model.template_writes_much"
TEMPLATES = {
    "loops": ("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}", ENDED),
    "two billion characters": ("{{ 'a' * 2000000000 }}", MUCH),
    "more than memory": ("{{ 'a' * 20000000000 }}", ENDED),
    "padded": ("{{ 'a'.center(1900000000) }}", MUCH),
    "doubled": (
        "{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
        ENDED,
    ),
    "a power": ("{{ 9 ** (9 ** 9) }}", ENDED),
    "many lines": ("{% for a in range(90000) %}{{ 'a' * 100 }}{% endfor %}", MUCH),
    "calls itself": ("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}", FAILED),
}


@pytest.fixture(scope="module", autouse=True)
def _ended():
    yield
    if trial._Process._of_this:
        trial._Process._of_this.process.kill()


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        shutil.copy(starter.BASE / name, tmp_path)
    return tmp_path


def refused_as(folder):
    with pytest.raises(UserError) as caught:
        check_tried(folder)
    return caught.value.code


def test_a_sound_folder_passes_and_is_tried_once(folder, monkeypatch):
    check_tried(folder)
    monkeypatch.setattr(trial, "_problem_of", None)  # cannot be called
    check_tried(folder)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_without_end_is_refused(name, folder, monkeypatch):
    text, code = TEMPLATES[name]
    (folder / "chat_template.jinja").write_text(text)
    before = psutil.Process().memory_info().rss
    began = time.monotonic()
    assert refused_as(folder) in (code, ENDED)
    assert time.monotonic() - began < trial.GETTING_READY + trial.PATIENCE
    assert psutil.Process().memory_info().rss - before < 100e6


def test_a_tokenizer_that_makes_much_of_little_is_refused(folder):
    known = json.loads((folder / "tokenizer.json").read_text())
    known["normalizer"] = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 5_000_000}
    (folder / "tokenizer.json").write_text(json.dumps(known))
    assert refused_as(folder) == ENDED


DAMAGES = {
    "pipe": lambda file: (file.unlink(), os.mkfifo(file)),
    "cut": lambda file: os.truncate(file, 300),
    "six gigabytes": lambda file: os.truncate(file, 6_000_000_000),
    "list": lambda file: file.write_text("[[1]]"),
    "device": lambda file: (file.unlink(), file.symlink_to("/dev/zero")),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_tokenizer_is_a_sentence(name, folder):
    DAMAGES[name](folder / "tokenizer.json")
    assert refused_as(folder) == FAILED


def test_a_tokenizer_that_wants_a_program_is_refused(folder):
    known = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(known | {"auto_map": {"AutoTokenizer": "a/b--x.Evil"}}))
    with refused("model.tokenizer_wants_program", "a/b--x.Evil"):
        check_tried(folder)


def test_a_page_asks_no_run_whose_model_does_not_pass(folder, store):
    shutil.copy(starter.BASE / "model.safetensors", folder)
    run = make_run(store, proof=PROOF)
    recipe = Recipe.from_dict({"base_model": {"source": "folder", "id": str(folder)}})
    recipe.save(run.folder / run.spec_file)
    (folder / "tokenizer.json").write_text("[[1]]")
    with refused(FAILED):
        ModelPool(is_guarded=True).get(run)
