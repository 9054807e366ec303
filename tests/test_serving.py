"""The OpenAI-compatible endpoint: what the official client accepts, and what odd programs send."""

import json
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import httpx
import openai
import pytest
import uvicorn
from safetensors.torch import load_file, save_file
from starlette.applications import Starlette
from starlette.routing import Mount

from qlora_app.inference.batching import TokenByToken
from qlora_app.inference.pool import ModelPool
from qlora_app.inference.rows import Row
from qlora_app.runs import RunStore
from qlora_app.runs.checkpoints import seal
from qlora_app.runs.labels import relabel
from qlora_app.serving import ApiKeys, Endpoint, Home, Limits, ServedModels
from qlora_app.serving.problems import ApiError
from qlora_app.ui.quota import Tokens
from tests.fixtures.damages import OLD
from tests.refusing import refused

QUESTION = [{"role": "user", "content": "Where does Mira live?"}]


class Served:
    """The endpoint on a port of its own."""

    def __init__(self, home, is_open=True):
        shutil.copytree(OLD / "finished", home / "runs" / "finished")
        self.store, self.pool, self.keys = RunStore(home / "runs"), ModelPool(), ApiKeys(home)
        self.others = []  # homes of members
        endpoint = Endpoint(Home(ServedModels(self.store, self.pool), self.keys), is_open, lambda: self.others)
        app = Starlette(routes=[Mount("/v1", endpoint.app())])
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="warning"))
        threading.Thread(target=self.server.run, daemon=True).start()
        deadline = time.monotonic() + 60
        while not self.server.started and time.monotonic() < deadline:
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{self.port}/v1"

    def client(self, key="none"):
        return openai.OpenAI(base_url=self.url, api_key=key, max_retries=0)

    def post(self, path, content, **headers):
        return httpx.post(f"{self.url}{path}", content=content, headers=headers, timeout=60)

    def close(self):
        self.server.should_exit = True
        self.pool.make_way()


def schema_of(schema):
    return {"type": "json_schema", "json_schema": {"name": "asked", "schema": schema}}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = Served(tmp_path_factory.mktemp("served"))
    yield served
    served.close()


@pytest.fixture
def ask(served):
    def ask(**how):
        asked = {"model": "finished", "messages": QUESTION, "temperature": 0} | how
        return served.client().chat.completions.create(**asked)

    return ask


def test_an_answer_is_that_of_the_chat(served, ask):
    session = served.pool.get(served.store.get("finished"))
    whole = ask()
    said = whole.choices[0]
    assert said.message.content == session.answer_all([session.as_trained(QUESTION)])[0]
    assert said.finish_reason == "stop" and whole.object == "chat.completion" and whole.model == "finished"
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    assert (
        ask(model="finished@base").choices[0].message.content
        == session.answer_all([session.as_trained(QUESTION)], base=True, max_new_tokens=256)[0].strip()
    )


def test_a_stream_says_the_same_in_pieces(ask):
    pieces = list(ask(stream=True, stream_options={"include_usage": True}))
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices)
    assert text == ask().choices[0].message.content and len(pieces) > 3
    assert pieces[0].choices[0].delta.role == "assistant" and pieces[-2].choices[0].finish_reason == "stop"
    assert pieces[-1].choices == [] and pieces[-1].usage.completion_tokens > 0


def test_an_answer_ends_where_it_is_told_to(ask):
    whole = ask().choices[0].message.content
    word = whole.split()[2]
    cut = ask(stop=[word])
    assert cut.choices[0].message.content == whole[: whole.index(word)].rstrip()
    assert cut.choices[0].finish_reason == "stop"
    assert ask(max_tokens=3).choices[0].finish_reason == "length"
    assert ask(max_completion_tokens=2).usage.completion_tokens == 2


def test_a_checkpoint_answers_by_its_step(served, ask):
    """A checkpoint is another adapter than the finished one: here one whose weights are nothing yet."""
    run = served.store.get("finished")
    early = run.checkpoints / "checkpoint-8"
    shutil.copytree(run.checkpoints / "checkpoint-24", early)
    weights = load_file(early / "adapter_model.safetensors")
    save_file({name: 0 * tensor for name, tensor in weights.items()}, early / "adapter_model.safetensors")
    seal(early)
    try:
        assert run.saved_steps() == [24, 8]
        said = {name: ask(model=name).choices[0].message.content for name in ("finished@24", "finished@8", "finished")}
        assert said["finished@24"] == said["finished"]
        assert said["finished@8"] == ask(model="finished@base").choices[0].message.content != said["finished"]
        for unknown in ("finished@9", "finished@", "finished@-8", "finished@8.0", "finished@" + "8" * 5000):
            with pytest.raises(openai.NotFoundError):
                ask(model=unknown)
        with refused("run.no_such_checkpoint"):
            served.pool.get(run, 9)
    finally:
        shutil.rmtree(early)


def test_a_seed_repeats_itself_and_several_answers_differ(ask):
    drawn = [ask(temperature=1.5, seed=7, n=3, max_tokens=20) for _ in range(2)]
    texts = [[choice.message.content for choice in one.choices] for one in drawn]
    assert texts[0] == texts[1] and len(set(texts[0])) > 1
    assert [choice.index for choice in drawn[0].choices] == [0, 1, 2]
    assert drawn[0].usage.prompt_tokens == ask().usage.prompt_tokens, "a prompt counts once"


def test_probabilities_of_the_tokens(ask):
    choice = ask(logprobs=True, top_logprobs=3, max_tokens=5).choices[0]
    assert len(choice.logprobs.content) == 5
    for token in choice.logprobs.content:
        assert len(token.top_logprobs) == 3 and token.logprob <= 0
        assert token.logprob == token.top_logprobs[0].logprob, "greedy takes the likeliest"
    streamed = list(ask(logprobs=True, max_tokens=5, stream=True))
    told = [t.token for p in streamed if p.choices[0].logprobs for t in p.choices[0].logprobs.content]
    assert told == [token.token for token in choice.logprobs.content]


def test_a_text_is_gone_on_with(served):
    made = served.client().completions.create(
        model="finished", prompt=["Mira is a", "Tom has a"], max_tokens=6, temperature=0, echo=True, logprobs=1
    )
    told = made.choices[0].logprobs
    assert [choice.text.split(" ")[0] for choice in made.choices] == ["Mira", "Tom"]
    assert made.choices[0].text == "Mira is a" + "".join(told.tokens), "with the blank between them"
    assert len(told.tokens) == len(told.token_logprobs) > 0
    assert told.text_offset[:2] == [len("Mira is a"), len("Mira is a" + told.tokens[0])]
    streamed = list(
        served.client().completions.create(
            model="finished", prompt="Mira is a", max_tokens=6, temperature=0, echo=True, logprobs=1, stream=True
        )
    )
    pieces = [piece.choices[0] for piece in streamed if piece.choices]
    assert "".join(piece.text for piece in pieces) == made.choices[0].text
    assert [at for piece in pieces if piece.logprobs for at in piece.logprobs.text_offset] == told.text_offset


@pytest.mark.parametrize(
    "asked", [{"prompt": [""]}, {"prompt": ["a"] * 40}, {"prompt": "a", "n": 8, "stop": ["b"] * 17}]
)
def test_a_text_that_cannot_be_gone_on_with_is_refused(served, asked):
    with pytest.raises(openai.BadRequestError):
        served.client().completions.create(model="finished", **asked)


def test_the_second_turn_computes_only_what_is_new(ask):
    first = ask()
    talk = [*QUESTION, {"role": "assistant", "content": first.choices[0].message.content}]
    second = ask(messages=[*talk, {"role": "user", "content": "And her job?"}])
    cached = second.usage.prompt_tokens_details.cached_tokens
    assert first.usage.prompt_tokens <= cached < second.usage.prompt_tokens


PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "trade": {"enum": ["baker", "smith"]},
    },
    "required": ["name", "age", "trade"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("how", [{}, {"temperature": 2, "seed": 3, "n": 3}, {"repetition_penalty": 1.5}])
def test_an_answer_follows_a_schema_although_it_was_never_taught_to(ask, how):
    extra = {name: how.pop(name) for name in list(how) if name == "repetition_penalty"}
    whole = ask(response_format=schema_of(PERSON), max_tokens=200, extra_body=extra, **how)
    for choice in whole.choices:
        person = json.loads(choice.message.content)
        assert choice.finish_reason == "stop" and person.keys() == PERSON["properties"].keys()
        assert 0 <= person["age"] <= 120 and person["trade"] in ("baker", "smith")
    assert ask().choices[0].message.content == ask(response_format={"type": "text"}).choices[0].message.content


def test_answers_with_and_without_a_schema_are_computed_side_by_side(ask):
    alone = ask().choices[0].message.content
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask), pool.submit(lambda: ask(response_format=schema_of(PERSON), max_tokens=200))] * 2
        texts = [one.result().choices[0].message.content for one in asked]
    assert texts[0] == texts[2] == alone and texts[1] == texts[3] and json.loads(texts[1])


def test_models_are_listed(served):
    assert [model.id for model in served.client().models.list()] == ["finished", "finished@base", "finished@24"]
    assert served.client().models.retrieve("finished").owned_by == "guanaco-workshop"


@pytest.mark.parametrize(
    ("how", "error", "field"),
    [
        ({"model": "nobody"}, openai.NotFoundError, "model"),
        ({"n": 900_000}, openai.BadRequestError, "n"),
        ({"temperature": -1}, openai.BadRequestError, "temperature"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, openai.BadRequestError, "messages.0"),
        ({"messages": [{"role": "user", "content": 7}]}, openai.BadRequestError, "messages.0.content"),
        ({"messages": [{"role": "user", "content": "long " * 5000}]}, openai.BadRequestError, "messages"),
        ({"response_format": {"type": "json_schema"}}, openai.BadRequestError, "response_format"),
        ({"response_format": schema_of({"type": "wat"})}, openai.BadRequestError, "response_format"),
        ({"response_format": schema_of({"$ref": "http://127.0.0.1:1/x"})}, openai.BadRequestError, "response_format"),
        ({"response_format": schema_of({"enum": ["x" * 200_000]})}, openai.BadRequestError, "response_format"),
        ({"tool_choice": "required"}, openai.BadRequestError, "tool_choice"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "tools"),
        ({"frequency_penalty": 1}, openai.BadRequestError, "frequency_penalty"),
        ({"stop": ["a" * 201]}, openai.BadRequestError, "stop.0"),
        ({"max_tokens": -2}, openai.BadRequestError, "max_tokens"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_tokens"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_its_name(ask, how, error, field):
    with pytest.raises(error) as refusal:
        ask(**how)
    assert refusal.value.param == field and str(refusal.value.message)


def test_what_changes_nothing_is_let_through(ask):
    parts = [{"type": "text", "text": "Where does "}, {"type": "text", "text": "Mira live?"}]
    odd = ask(
        messages=[{"role": "user", "content": parts}],
        user="me",
        stop=["", "never said"],
        max_tokens=-1,
        stream_options={"include_usage": None},
        extra_body={"unknown": [1], "store": True},
    )
    assert odd.choices[0].message.content == ask().choices[0].message.content
    refusal = [*QUESTION, {"role": "assistant", "content": None}, *QUESTION]
    assert ask(messages=refusal).choices[0].finish_reason == "stop"


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '"a"', "null", '{"model": 7}', "[" * 100_000, '{"model": "\\ud800"}']
)
@pytest.mark.parametrize("path", ["/chat/completions", "/completions"])
def test_broken_requests_are_answered_with_what_is_wrong(served, path, content):
    answer = served.post(path, content)
    assert answer.status_code == 400 and answer.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/embeddings", "/images", "/chat/completions/x"])
def test_what_is_not_there_is_said(served, path):
    answer = served.post(path, "{}")
    assert answer.status_code in (400, 404) and answer.json()["error"]["type"]


def test_a_page_of_another_site_may_not_ask(served):
    body = json.dumps({"model": "finished", "messages": QUESTION})
    assert served.post("/chat/completions", body, Origin="http://evil.example").status_code == 403
    assert served.post("/chat/completions", body, Host="evil.example").status_code == 401
    assert served.post("/chat/completions", body, **{"X-Forwarded-For": "203.0.113.7"}).status_code == 401
    assert "access-control-allow-origin" not in served.post("/chat/completions", body).headers


def test_a_program_that_goes_away_frees_its_place(served, monkeypatch):
    step, end, whys, is_over = TokenByToken.step, Row.end, [], threading.Event()

    def slow(self):
        time.sleep(0.02)
        step(self)

    def ended(self, why):
        whys.append(why)
        is_over.set()
        return end(self, why)

    monkeypatch.setattr(TokenByToken, "step", slow)
    monkeypatch.setattr(Row, "end", ended)
    body = {"model": "finished@base", "messages": QUESTION, "stream": True, "max_tokens": 4000, "seed": 1}
    with httpx.stream("POST", f"{served.url}/chat/completions", json=body, timeout=60) as answer:
        next(answer.iter_lines())
    assert is_over.wait(60) and whys == ["cancelled"]


@pytest.mark.slow
def test_many_at_once_get_their_own_answers_and_the_rest_are_asked_to_come_back(served):
    names = ("Mira", "Tom", "Ana", "Leo")

    def asked(place):
        body = {
            "model": "finished",
            "messages": [{"role": "user", "content": f"Where does {names[place % 4]} live?"}],
            "temperature": 0,
            "max_tokens": 24,
        }
        answer = served.post("/chat/completions", json.dumps(body))
        if answer.status_code == 200:
            return place % 4, answer.json()["choices"][0]["message"]["content"]
        assert answer.status_code in (429, 503) and answer.headers["retry-after"]
        return place % 4, None

    alone = {place: asked(place)[1] for place in range(4)}
    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(asked, range(100)))
    assert all(text in (None, alone[place]) for place, text in answers)
    assert sum(text is not None for _, text in answers) >= 60


def names_of(store, only=()):
    return ServedModels(store, ModelPool(), only)


def test_a_run_is_found_by_its_own_id_first_and_nothing_by_no_name(tmp_path):
    store = RunStore(tmp_path / "runs")
    for id in ("one", "other", "other-2"):
        shutil.copytree(OLD / "finished", tmp_path / "runs" / id)
    relabel(store.get("other"), name="one")
    models = names_of(store)
    assert models.find("one").run.id == "one" and models.find("one@base").of_base
    relabel(store.get("one"), name="Mine")
    assert models.find("Mine").run.id == "one" and models.find("on").run.id == "one"
    assert models.find("latest").run.id in ("one", "other", "other-2")
    for name in ("", "@base", "oth", "nobody", "x" * 500):
        with pytest.raises(ApiError) as refusal:
            models.find(name)
        assert refusal.value.status == 404


def test_a_run_that_was_deleted_takes_no_other_with_it(tmp_path):
    store = RunStore(tmp_path / "runs")
    for id in ("one", "two", "three"):
        shutil.copytree(OLD / "finished", tmp_path / "runs" / id)
    models = names_of(store, ("one", "two"))
    shutil.rmtree(tmp_path / "runs" / "two")
    assert [row["id"] for row in models.rows()] == ["one", "one@base", "one@24"]
    assert models.find("latest").run.id == models.find("one").run.id == "one"
    with pytest.raises(ApiError):
        models.find("three")


# ---- keys


def test_a_key_is_shown_once_and_opens_until_it_is_revoked(tmp_path, served):
    keys = ApiKeys(tmp_path)
    key = keys.make("laptop", per_minute=2)
    assert key not in keys.path.read_text() and keys.path.stat().st_mode & 0o077 == 0
    found = keys.find(key)
    assert found and found.name == "laptop" and keys.find(key + "x") is None and keys.find("") is None
    assert [keys.may_ask(found) for _ in range(3)] == [True, True, False]
    with refused("keys.taken"):
        keys.make("laptop")
    with refused("keys.name"):
        keys.make("  ")
    keys.revoke("laptop")
    assert keys.find(key) is None
    with refused("keys.unknown"):
        keys.revoke("laptop")


def test_with_a_key_nobody_asks_without(served):
    key = served.keys.make("program", per_minute=3)
    try:
        for wrong in ("none", "gw-wrong", key[:-1]):
            with pytest.raises(openai.AuthenticationError):
                served.client(wrong).models.list()
        for _ in range(3):
            assert served.client(key).models.list().data
        with pytest.raises(openai.RateLimitError):
            served.client(key).models.list()
        served.keys.revoke("program")
        for revoked in (key, "none"):  # with its last key the endpoint does not open to everybody
            with pytest.raises(openai.AuthenticationError):
                served.client(revoked).models.list()
    finally:
        served.keys.path.unlink()


@pytest.fixture
def members(tmp_path, served):
    """{name: their home, for programs}, each with a run and a limit of two answers at once and 60 tokens."""
    made, served.members_tokens = {}, {}
    for name in ("bob", "eve"):
        shutil.copytree(OLD / "finished", tmp_path / name / "runs" / f"of-{name}")
        tokens = served.members_tokens[name] = Tokens(60)
        limits = Limits(2, lambda: 0, partial(tokens.check, ""), partial(tokens.add, ""))
        models = ServedModels(RunStore(tmp_path / name / "runs"), served.pool)
        made[name] = Home(models, ApiKeys(tmp_path / name), [tmp_path / name], limits)
    served.others = list(made.values())
    yield made
    served.others = []
    served.keys.path.unlink(missing_ok=True)


def test_a_member_s_key_opens_their_home_alone_and_counts_as_theirs(served, members):
    keys = {name: home.keys.make("mine") for name, home in members.items()} | {"": served.keys.make("owner")}
    runs = {"": "finished", "bob": "of-bob", "eve": "of-eve"}
    for name, key in keys.items():
        assert {one.id.partition("@")[0] for one in served.client(key).models.list()} == {runs[name]}
        for other in runs.keys() - {name}:
            with pytest.raises(openai.NotFoundError) as foreign:
                served.client(key).chat.completions.create(model=runs[other], messages=QUESTION)
            with pytest.raises(openai.NotFoundError) as missing:
                served.client(key).chat.completions.create(model="of-nobody", messages=QUESTION)
            assert str(foreign.value).replace(runs[other], "?") == str(missing.value).replace("of-nobody", "?")
    bob = served.client(keys["bob"]).chat.completions
    with pytest.raises(openai.BadRequestError, match="at most 2"):
        bob.create(model="of-bob", messages=QUESTION, n=3)
    with members["bob"].beginning(1), pytest.raises(openai.RateLimitError, match="At most 2"):
        bob.create(model="of-bob", messages=QUESTION, n=2)
    said = bob.create(model="of-bob", messages=QUESTION, n=2, max_tokens=30, temperature=0)
    assert served.members_tokens["bob"]._sums[""] >= said.usage.completion_tokens > 0
    served.members_tokens["bob"].add("", 60)
    with pytest.raises(openai.RateLimitError, match="tokens"):
        bob.create(model="of-bob", messages=QUESTION)
    served.client(keys["eve"]).chat.completions.create(model="of-eve", messages=QUESTION, max_tokens=1)
    served.others.remove(members["bob"])  # no member any more
    with pytest.raises(openai.AuthenticationError):
        served.client(keys["bob"]).models.list()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"keys": 7}', '{"keys": [7, {"name": "a"}]}'])
def test_a_damaged_file_of_keys_opens_nothing(tmp_path, content):
    keys = ApiKeys(tmp_path)
    keys.path.write_text(content)
    assert keys.all() == [] and keys.find("gw-x") is None and keys.are_asked_for
