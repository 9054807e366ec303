"""Owners, members and visitors on one server: what each may do, and that nobody finds what is another's."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
from gradio.context import LocalContext

import app
from qlora_app import starter, worker
from qlora_app.accounts import Accounts, member_at, work_in_home_of
from qlora_app.base_models import ModelChoice
from qlora_app.cli import main
from qlora_app.errors import UserError
from qlora_app.jobs import JobSpec, JobStore
from qlora_app.preflight import refuse_of_others
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.runs.labels import relabel
from qlora_app.runs.shared import SHARED
from qlora_app.settings import Settings
from qlora_app.start_from import adapter_folder
from qlora_app.storage import outside
from qlora_app.storage.outside import named_outside
from qlora_app.ui import audit, quota
from qlora_app.ui.door import request_guard, routes
from qlora_app.ui.door.origins import Came
from qlora_app.ui.door.people import People
from qlora_app.ui.frame.bar import Bar
from qlora_app.ui.guard import callers_of, server_functions
from qlora_app.ui.runs.merge_form import MergeForm
from tests.conftest import short_recipe
from tests.fixtures.page import PROOF, event, make_run
from tests.fixtures.serving import served
from tests.refusing import refused
from tests.test_strangers import OF_A_RUN, SECRET, addresses_of, around, given_to, private_run, routes_of, send

OWNER = {"user": "ada", "password": "correct horse"}
ROLES = {"bob": "member", "eve": "member", "vic": "visitor"}


def password_of(name):
    return OWNER["password"] if name == "ada" else f"password of {name}"


# ---- accounts


def test_an_account_is_kept_with_a_hash_and_opens_with_its_password_alone(tmp_path):
    accounts = Accounts(Settings(home=tmp_path, **OWNER))
    accounts.add("bob", "member", "correct battery")
    text = accounts.path.read_text()
    assert "battery" not in text and "$argon2id$" in text and accounts.path.stat().st_mode & 0o077 == 0
    again = Accounts(Settings(home=tmp_path, **OWNER))
    assert again.lets_in("bob", "correct battery")
    assert not any(
        again.lets_in(*tried) for tried in (("bob", "wrong"), ("eve", "correct battery"), ("", ""), ("bob", ""))
    )
    assert again.role_of("bob") == "member" and again.role_of("ada") == "owner" and again.role_of("eve") is None


def test_what_cannot_be_an_account_is_refused(tmp_path):
    accounts = Accounts(Settings(home=tmp_path, **OWNER))
    accounts.add("bob", "member", "long enough")
    for name in ("", "../bob", "Bob", "a/b", ".bob", "-x", "b" * 61, "b\n"):
        with refused("accounts.name"):
            accounts.add(name, "member", "long enough")
    for name in ("bob", "ada"):
        with refused("accounts.taken"):
            accounts.add(name, "owner", "long enough")
    with refused("accounts.short_password"):
        accounts.add("eve", "member", "short")
    with refused("accounts.unknown"):
        accounts.remove("eve")


def test_an_account_with_the_owner_s_name_opens_nothing(tmp_path):
    Accounts(Settings(home=tmp_path)).add("ada", "member", "long enough")
    for user in ("ada", "Ada"):
        people = People(Settings(home=tmp_path, user=user, password="correct horse"))
        assert not people.accounts.lets_in("ada", "long enough")
        assert people.accounts.role_of(user) == "owner" and people.accounts.all() == {}


@pytest.mark.parametrize(
    "text", ["[", "bob: 1", "bob: {role: king, hash: x}", "bob: {role: owner}", "../x: {role: owner, hash: y}", "- bob"]
)
def test_a_line_that_makes_no_sense_lets_nobody_in_and_makes_nobody_the_owner(text, tmp_path):
    settings = Settings(home=tmp_path)
    accounts = Accounts(settings)
    accounts.path.write_text(text)
    assert accounts.all() == {} and not accounts.lets_in("bob", "")
    with pytest.raises(UserError) as caught:
        People(settings)
    assert caught.value.code in ("accounts.none_usable", "file.damaged")


def test_a_file_without_accounts_is_a_login_for_nobody(tmp_path, capsys):
    settings = Settings(home=tmp_path)
    accounts = Accounts(settings)
    accounts.add("bob", "owner", "long enough")
    accounts.remove("bob")
    people = People(settings)
    assert people.has_login and people.person(Came("127.0.0.1", "http", "x", False), {}, [], {}) is None
    accounts.path.unlink()
    accounts.path.symlink_to(tmp_path / "gone")
    with refused("file.damaged"):
        People(settings)


def test_a_file_that_cannot_be_read_is_not_written_over(tmp_path):
    accounts = Accounts(Settings(home=tmp_path))
    accounts.path.write_text("bob: [")
    with refused("file.damaged"):
        accounts.add("eve", "member", "long enough")
    assert accounts.path.read_text() == "bob: ["


def test_the_command_asks_for_a_password_and_takes_none_as_an_argument(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QLORA_APP_HOME", str(tmp_path))
    typed = iter(["password of bob\n", "another password\n", "of another bob\n"])
    monkeypatch.setattr("sys.stdin", SimpleNamespace(isatty=lambda: False, readline=lambda: next(typed)))
    assert main(["accounts", "add", "bob"]) == 0
    assert "start it again" in capsys.readouterr().out, "a page without a login gets none before"
    accounts = Accounts(Settings(home=tmp_path))
    assert accounts.lets_in("bob", "password of bob") and accounts.role_of("bob") == "member"
    assert main(["accounts", "role", "bob", "--role", "visitor"]) == main(["accounts", "password", "bob"]) == 0
    assert accounts.lets_in("bob", "another password") and accounts.role_of("bob") == "visitor"
    capsys.readouterr()
    assert main(["accounts", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "bob", "role": "visitor"}
    assert main(["accounts", "remove", "bob"]) == 0 and accounts.all() == {}
    (tmp_path / "members" / "bob").mkdir(parents=True)
    capsys.readouterr()
    for role in ("member", "visitor"):  # who may be made a member later
        assert main(["accounts", "add", "bob", "--role", role]) != 0 and accounts.all() == {}
        assert "members/bob is in this home from before" in capsys.readouterr().err, "another person may have that name"
    assert main(["accounts", "add", "bob", "--with-home"]) == 0 and accounts.role_of("bob") == "member"


# ---- who asks


@pytest.mark.parametrize(
    ("given", "role"),
    [
        ({}, "owner"),
        ({"host": "0.0.0.0"}, "visitor"),
        ({"proxies": "10.0.0.1"}, "visitor"),
        ({"host": "0.0.0.0", **OWNER}, None),
        (OWNER, None),
        (OWNER | {"visitors": True}, "visitor"),
    ],
)
def test_who_has_not_logged_in_is_what_the_settings_make_of_them(given, role, tmp_path):
    people = People(Settings(home=tmp_path, **given))
    person = people.person(Came("10.0.0.9", "http", "x", False), {}, [], {})
    assert (person.role if person else None) == role


@pytest.mark.parametrize(
    ("by_proxy", "name", "others", "role"),
    [
        (True, "bob", "nobody", "member"),
        (True, "Bob", "nobody", "member"),
        (True, "ada", "nobody", "owner"),
        (True, "Ada", "nobody", "owner"),
        (False, "ada", "member", None),
        (True, "mallory", "nobody", None),
        (True, "mallory", "visitor", "visitor"),
        (True, "mallory", "member", "member"),
        (True, "../bob", "member", None),
        (True, "", "member", None),
    ],
)
def test_a_proxy_s_word_counts_from_a_named_proxy_only(by_proxy, name, others, role, tmp_path):
    proxy = {"proxies": "10.0.0.1", "login_header": "X-Forwarded-User"}
    settings = Settings(home=tmp_path, others=others, user="Ada", password="correct horse", **proxy)
    people = People(settings, Accounts(settings))
    people.accounts.add("bob", "member", "long enough")
    headers = {b"x-forwarded-user": name}
    person = people.person(Came("1.2.3.4", "https", "x", by_proxy), headers, [], {})
    assert (person.role if person else None) == role


def test_a_header_that_nobody_is_believed_to_send_is_a_mistake():
    with refused("settings.wrong", "QLORA_APP_PROXIES"):
        Settings.from_environment({"QLORA_APP_LOGIN_HEADER": "X-Forwarded-User"})
    with refused("settings.wrong", "a Space"):
        Settings.from_environment({"QLORA_APP_LOGIN_HEADER": "X-Forwarded-User", "SPACE_ID": "ada/workshop"})


# ---- homes


def test_a_worker_has_the_home_of_its_job_and_no_secret_of_the_owner_s(tmp_path, monkeypatch):
    for name, value in {"HOME": tmp_path, "HUB_TOKEN": "hf_x", "USER": "ada", "PASSWORD": "correct horse"}.items():
        monkeypatch.setenv(f"QLORA_APP_{name}", str(value))
    monkeypatch.setenv("HF_TOKEN", "hf_y")
    monkeypatch.setenv("QLORA_APP_MEMBER", "")  # so that it is as before afterwards
    monkeypatch.setattr(outside, "_own_of_process", None)
    settings = Settings.from_environment()
    assert work_in_home_of(settings.runs / "a").token == "hf_x"
    own = work_in_home_of(settings.members / "bob" / "runs" / "a")
    assert own.home == settings.members / "bob" and own.token is None and own.password is None
    assert Settings.from_environment() == own and own.member == "bob", "whoever asks again in this process too"
    theirs = tmp_path / "models"
    theirs.mkdir()
    (theirs / "adapter_config.json").write_text("{}")
    for opens in (
        lambda: ModelChoice.model_construct(source="folder", id=str(theirs)).folder,
        lambda: adapter_folder(str(theirs), own.runs),
    ):
        with refused("member.not_yours"):
            opens()
    assert ModelChoice().folder == starter.BASE
    with refused("member.elsewhere"):
        refuse_of_others(Recipe.from_dict({"launch": {"where": "slurm"}}), own)
    assert member_at(settings.members / ".." / "runs" / "a", settings) == ""


def test_a_text_that_names_a_file_of_somebody_else_is_found(tmp_path):
    mine, other = tmp_path / "mine", tmp_path / "other.jsonl"
    mine.mkdir()
    (mine / "x").write_text("")
    (mine / "link").symlink_to(other)
    other.write_text("")
    theirs = [
        str(other),
        f" {other} ",
        f"file:{other}",
        f"file/{other}",
        f"{other}#me",
        f"mmlu:{tmp_path}",
        f"{mine}/../other.jsonl",
        f"{mine}/link",
        "/etc/passwd",
        "~",
        "..",
    ]
    for text in theirs:
        assert named_outside({"data": [{"a": [text]}]}, [mine]) == text, text
        assert named_outside({text: 1}, [mine]) == text
    fine = [str(mine / "x"), "", "helper", "a/b", "/nothing/there", "Who is /etc/passwd?", "a\0b", "x" * 99999, "hub/a"]
    assert [text for text in fine if named_outside([text], [mine])] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, None),
        ({"base_model": {"source": "folder", "id": str(starter.BASE)}}, "member.not_yours"),
        ({"training": {"start_from": "/etc"}}, "member.not_yours"),
        ({"launch": {"where": "slurm"}}, "launch.where"),
    ],
)
def test_a_member_s_recipe_stays_in_their_home(change, code, tmp_path):
    recipe, settings = Recipe.from_dict(change), Settings(home=tmp_path)
    refuse_of_others(recipe, settings)
    if code is None:
        refuse_of_others(recipe, settings.of_member("bob"))
        return
    with refused("member.elsewhere" if code == "launch.where" else code):
        refuse_of_others(recipe, settings.of_member("bob"))


# ---- one server


class Browser:
    """Somebody who has logged in, or not."""

    def __init__(self, site, name):
        self.name, self.port = name, site.port
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{site.port}", timeout=60)
        if name:
            self.client.post("/login", data={"username": name, "password": password_of(name)})
        self.client.get("/")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """With a private and a shared run of the owner's, and one of Bob's."""
    home = tmp_path_factory.mktemp("shared") / "home"
    home.mkdir()
    settings = Settings(home=home, **OWNER)
    accounts = Accounts(settings)
    for name, role in ROLES.items():
        accounts.add(name, role, password_of(name))
    owners = RunStore(settings.runs)
    runs = SimpleNamespace(
        owners=private_run(owners, f"ab-{SECRET}.jsonl", "chat", "done"),
        shared=make_run(owners, name="to be shown", proof=PROOF),
        bobs=private_run(RunStore(settings.of_member("bob").runs), f"ab-{SECRET}.jsonl", "chat", "done"),
    )
    relabel(runs.shared, add_tags=[SHARED])
    with served(home, visitors=True, metrics=True, **OWNER) as site:
        site.home, site.settings, site.accounts, site.runs = home, settings, accounts, runs
        site.pages = next(one.kwargs["pages"] for one in site.demo.app.user_middleware if "pages" in one.kwargs)
        site.people = {name: Browser(site, name) for name in ("ada", "bob", "eve", "vic", "")}
        yield site


def page_of(server, name):
    """The page that somebody sees, as its server knows it."""
    home = name if ROLES.get(name) == "member" else "/visitor"
    return server.demo if name == "ada" else server.pages._pages[home].demo


def asks(server, name):
    """What `send` needs of somebody."""
    return SimpleNamespace(client=server.people[name].client, demo=page_of(server, name))


def told(server, name, run):
    """All that somebody's page tells who sends the id of a run to everything on it."""
    site, said = asks(server, name), {}
    for path in ("/", f"/?tab=runs&run={run.id}", "/config", "/gradio_api/info?all_endpoints=true"):
        said[path] = site.client.get(path).text
    for number, fn in site.demo.fns.items():
        if fn.fn is None or (run is server.runs.bobs and fn.fn.__qualname__.split(".")[0] not in OF_A_RUN):
            continue
        sent = [given_to(one, run, f"ab-{SECRET}.jsonl") for one in fn.inputs]
        clicked = {"run": run.id, "question": "Who?", "preset": "known", "at": "0", "job": run.id, "runs": [run.id]}
        said[f"{number} {fn.fn.__qualname__}"] = send(site, number, sent, clicked)
    for id, block in site.demo.blocks.items():
        for name_of_function in server_functions(block):
            asked = {"run": run.id, "log": True, "others": True, "job": run.id, "seen": {}, "runs": [run.id]}
            body = {"component_id": id, "fn_name": name_of_function, "session_hash": "stranger", "data": asked}
            said[f"{id}.{name_of_function}"] = site.client.post("/gradio_api/component_server", json=body).text
    for text in list(said.values()):
        for file in addresses_of(text):
            said[file] = site.client.get(f"/gradio_api/file={file}").text
    return said


def as_it_lies(run):
    """{file: its content} of all in its folder."""
    return {
        path.relative_to(run.folder).as_posix(): path.read_bytes() for path in run.folder.rglob("*") if path.is_file()
    }


@pytest.mark.slow
@pytest.mark.parametrize(("name", "whose"), [("eve", "bobs"), ("", "owners")])
def test_nobody_is_told_of_another_s_run_or_changes_it(server, name, whose):
    """By a real server; every pair of people and everything they have: test_everybody.py."""
    run = getattr(server.runs, whose)
    before = as_it_lies(run)
    said = told(server, name, run)
    assert {where: around(text) for where, text in said.items() if SECRET in text.replace(f"ab-{SECRET}", "")} == {}
    assert as_it_lies(run) == before


@pytest.mark.slow
def test_every_page_has_marks_on_all_its_handlers(server):
    """Also those that members see: what has none is nobody's."""
    for name in ("bob", ""):
        demo = page_of(server, name)
        assert [fn.fn.__qualname__ for fn in demo.fns.values() if fn.fn and callers_of(fn.fn) is None] == []
        parts = [(block, one) for block in demo.blocks.values() for one in server_functions(block)]
        assert parts and all(callers_of(getattr(block, one)) for block, one in parts)
        assert [path for path in routes_of(demo.app) if routes.mark_of(path) is None] == []


def poll_of(server, name, **asked):
    """What the bar of somebody's page says."""
    demo = page_of(server, name)
    bar = next(id for id, block in demo.blocks.items() if block.elem_id == "bar")
    body = {"component_id": bar, "fn_name": "poll", "session_hash": f"bar-{name}", "data": asked}
    return server.people[name].client.post("/gradio_api/component_server", json=body)


@pytest.mark.slow
def test_the_bar_says_who_it_is_and_how_to_leave(server):
    for name in ("ada", "bob", "vic"):
        said = poll_of(server, name, seen={}).json()["parts"]["who"]
        assert name in said and "./logout" in said
    said = poll_of(server, "", seen={}).json()["parts"]["who"]
    assert "./login" in said and "logout" not in said
    assert 'name="password"' in server.people[""].client.get("/login").text


@pytest.mark.slow
def test_what_a_member_uploads_is_read_and_named_by_nobody_else(server):
    brought = server.people["bob"].client.post("/gradio_api/upload", files={"files": ("a.jsonl", f"row {SECRET}")})
    (path,) = brought.json()
    assert server.people["bob"].client.get(f"/gradio_api/file={path}").status_code == 200
    for name in ("eve", "vic", ""):
        client = server.people[name].client
        assert client.get(f"/gradio_api/file={path}").status_code == 403, name
        assert client.post("/gradio_api/upload", files={"files": ("a", "b")}).status_code == (
            200 if name == "eve" else 403
        )
    for sent in (path, f"file:{path}", str(server.runs.bobs.log), str(server.runs.owners.folder)):
        body = {"fn_index": 0, "data": [{"path": sent}], "session_hash": "eve"}
        assert server.people["eve"].client.post("/gradio_api/queue/join", json=body).status_code == 403, sent


@pytest.mark.slow
def test_a_session_of_one_page_is_nobody_s_on_another(server):
    assert (
        server.people["bob"].client.post("/gradio_api/queue/join", json=restoring(server, "bob", "of-bob")).status_code
        == 200
    )
    for name in ("eve", "vic", ""):
        client = server.people[name].client
        for path in ("/gradio_api/queue/data?session_hash=of-bob", "/gradio_api/heartbeat/of-bob"):
            assert client.get(path).status_code == 403, (name, path)
        told = client.post("/gradio_api/cancel", json={"session_hash": "of-bob", "fn_index": 0, "event_id": "x"})
        assert told.status_code == 403


def restoring(server, name, session):
    demo = page_of(server, name)
    number = next(n for n, fn in demo.fns.items() if "restore" in getattr(fn.fn, "__qualname__", ""))
    return {"fn_index": number, "data": [], "session_hash": session}


@pytest.mark.slow
def test_what_is_shared_is_read_by_members_and_changed_by_its_owner_alone(server):
    run = server.runs.shared
    before = as_it_lies(run)
    for name in ("eve", "vic", ""):
        assert shown_to(server, name) == {run.id}, name
    assert shown_to(server, "bob") == {run.id, server.runs.bobs.id}
    assert shown_to(server, "ada") == {run.id, server.runs.owners.id}
    site = asks(server, "eve")
    for deed in ("stop", "discard", "kill", "resume", "delete"):
        for number, fn in site.demo.fns.items():
            if fn.fn and callers_of(fn.fn) == "owner" and deed in fn.fn.__qualname__:
                send(site, number, [given_to(one, run, "x") for one in fn.inputs], {"run": run.id, "job": run.id})
    assert as_it_lies(run) == before


def shown_to(server, name):
    """Which of the runs that were there are in somebody's list."""
    demo = page_of(server, name)
    id = next(id for id, block in demo.blocks.items() if "rows" in server_functions(block))
    body = {"component_id": id, "fn_name": "rows", "session_hash": f"table-{name}", "data": {"count": 9}}
    rows = server.people[name].client.post("/gradio_api/component_server", json=body).json()["rows"]
    return {row["id"] for row in rows} & {run.id for run in vars(server.runs).values()}


@pytest.mark.slow
def test_a_session_ends_when_its_account_is_another_or_gone(server):
    server.accounts.add("tom", "member", password_of("tom"))
    for change in (
        lambda: server.accounts.change("tom", password=password_of("tom")),
        lambda: server.accounts.change("tom", role="owner"),
        lambda: server.accounts.remove("tom"),
    ):
        client = Browser(server, "tom").client
        assert client.get("/config").json()["username"] == "tom"
        change()
        assert client.get("/config").json().get("username") is None, "a visitor's page"


@pytest.mark.slow
def test_a_stream_ends_with_its_account(server, monkeypatch):
    monkeypatch.setattr(request_guard, "LOOKED_AFTER", 0.1)
    server.accounts.add("zoe", "member", password_of("zoe"))
    zoe = Browser(server, "zoe")
    with zoe.client.stream("GET", "/gradio_api/heartbeat/of-zoe") as stream:
        lines = stream.iter_lines()
        assert "ALIVE" in next(lines)
        server.accounts.remove("zoe")
        assert all("ALIVE" in line or not line for line in lines), "it comes to an end"


@pytest.mark.slow
def test_who_did_what_is_written_down(server):
    site = asks(server, "eve")
    number = next(n for n, fn in site.demo.fns.items() if fn.fn and fn.fn.__qualname__ == "RunCards.stop_run")
    send(site, number, [], {"run": server.runs.bobs.id})
    lines = [json.loads(line) for line in (server.home / "audit.jsonl").read_text().splitlines()]
    assert {one["user"] for one in lines if one["deed"] == "logged in"} >= {"ada", "bob", "eve"}
    deeds = [(one["user"], one["deed"], one["about"]) for one in lines]
    assert ("eve", "RunCards.stop_run", server.runs.bobs.id) in deeds


@pytest.mark.slow
def test_whom_a_proxy_has_logged_in_every_page_believes(tmp_path):
    settings = Settings(home=tmp_path, **OWNER)
    accounts = Accounts(settings)
    for name, role in (ROLES | {"ann": "owner"}).items():
        accounts.add(name, role, password_of(name))
    proxy = {"login_header": "X-Forwarded-User", "proxies": "127.0.0.1", "public_url": "http://x.example"}
    with served(tmp_path, **OWNER, **proxy) as site:
        for name in ("ann", "ada", "bob", "vic"):
            client = httpx.Client(
                base_url=f"http://127.0.0.1:{site.port}", headers={"X-Forwarded-User": name}, timeout=60
            )
            assert client.get("/").status_code == client.get("/gradio_api/login_check").status_code == 200
            config = client.get("/config").json()
            bar = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == "bar")
            body = {"component_id": bar, "fn_name": "poll", "session_hash": f"of-{name}", "data": {"seen": {}}}
            said = client.post("/gradio_api/component_server", json=body).json()["parts"]["who"]
            assert name in said and "logout" not in said
        unknown = httpx.get(f"http://127.0.0.1:{site.port}/config", headers={"X-Forwarded-User": "mallory"})
        assert unknown.status_code == 401


# ---- what works without a login: keys and links


def evaluation_in(settings, name, word):
    """Answers of two models, as an evaluation leaves them."""
    job = JobStore(settings.evaluations).create(name, JobSpec(kind="evaluate"))
    answers = {"one": f"left {word}", "two": f"right {word}"}
    row = {"id": "a", "question": f"question {word}?", "category": "", "answers": answers, "checksums": {}}
    (job.folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    return job


def arena_of(server, name, word):
    """Made on the page of a member or the owner: (its name, the link that stands there)."""
    settings = server.settings if name == "ada" else server.settings.of_member(name)
    job = evaluation_in(settings, "same", word)
    client = server.people[name].client
    made = client.post("/arenas", data={"of": job.id}, headers={"accept": "text/html"})
    address = made.headers["location"]
    return address.rpartition("/")[2], re.search(r"/arena/[^\"?]+\?token=[\w-]+", client.get(address).text)[0]


def rated(client, link):
    """What a rater is told."""
    page = client.get(link)
    if page.status_code != 200:
        return page.text
    path, _, token = link.partition("?token=")
    return client.post(f"{path}/next", json={"token": token}).text


@pytest.mark.slow
def test_a_link_opens_an_arena_of_one_home_and_ends_with_its_account(server):
    server.accounts.add("kim", "member", password_of("kim"))
    server.people["kim"] = Browser(server, "kim")
    made = {name: arena_of(server, name, f"of-{name}") for name in ("ada", "bob", "kim")}
    assert len({id for id, _ in made.values()}) == 1, "the same name in three homes"
    for name, (id, link) in made.items():
        with httpx.Client(base_url=server.people[""].client.base_url) as stranger:
            said = rated(stranger, link)
            assert f"of-{name}" in said and not any(f"of-{other}" in said for other in made.keys() - {name})
            token = link.partition("=")[2]
            wrong, missing = (stranger.get(f"/arena/{one}?token={token}x") for one in (id, "none-such"))
            assert wrong.status_code == missing.status_code == 404
            for path in (f"/arenas/{id}", f"/arenas/{id}/live", f"/arenas/{id}/file/votes.jsonl", "/arenas"):
                assert stranger.get(path).status_code == 403
    rated(server.people["eve"].client, made["bob"][1])
    votes = (server.settings.of_member("bob").evaluations / made["bob"][0] / "assignments.jsonl").read_text()
    assert "eve" not in votes, "a member is not told by what name others log in"
    server.accounts.remove("kim")
    with httpx.Client(base_url=server.people[""].client.base_url) as stranger:
        assert "of-kim" not in rated(stranger, made["kim"][1])
        assert "of-bob" in rated(stranger, made["bob"][1])


@pytest.mark.slow
def test_what_raters_write_counts_as_their_member_s(server, monkeypatch):
    link = arena_of(server, "bob", "full")[1]
    arenas = {one.settings.home.name: one for one in server.pages.arenas()}
    monkeypatch.setattr(
        arenas["bob"].quota, "_settings", server.settings.of_member("bob").model_copy(update={"member_gb": 0})
    )
    with httpx.Client(base_url=server.people[""].client.base_url) as stranger:
        said = rated(stranger, link)
        assert "arena.full" in said and "GB" not in said


@pytest.mark.slow
def test_a_key_of_a_member_is_made_on_their_page_and_opens_no_figures(server):
    server.accounts.add("lea", "member", password_of("lea"))
    server.people["lea"] = Browser(server, "lea")
    run = make_run(RunStore(server.settings.of_member("lea").runs), name="of lea", proof=PROOF)
    demo = server.pages._pages["lea"].demo
    id = next(id for id, block in demo.blocks.items() if "make_key" in server_functions(block))
    body = {"component_id": id, "fn_name": "make_key", "session_hash": "keys-lea", "data": {"name": "mine"}}
    made = server.people["lea"].client.post("/gradio_api/component_server", json=body).json()
    assert not made["isOpen"]
    shown = {"authorization": f"Bearer {made['key']}"}
    anybody = httpx.Client(base_url=server.people[""].client.base_url, headers=shown)
    assert {one["id"].partition("@")[0] for one in anybody.get("/v1/models").json()["data"]} == {run.id}
    assert anybody.get("/metrics").status_code == 401
    server.accounts.change("lea", role="visitor")
    assert anybody.get("/v1/models").status_code == 401
    anybody.close()


@pytest.mark.slow
def test_the_page_of_an_account_is_its_member_s(server):
    page = server.people["bob"].client.get("/account").text
    assert "bob" in page and 'type="password"' in page
    for name, status in {"ada": 404, "vic": 403, "": 403}.items():
        assert server.people[name].client.get("/account").status_code == status
    file = server.settings.of_member("bob").token_file
    file.write_text("hf_of_bob")
    body = {"fn_index": 0, "data": [{"path": str(file)}], "session_hash": "token-bob"}
    assert server.people["bob"].client.post("/gradio_api/queue/join", json=body).status_code == 403, "not by a path"
    file.unlink()


def test_assistants_have_no_login(tmp_path):
    Accounts(Settings(home=tmp_path)).add("bob", "member", "long enough")
    with refused("page.mcp_alone"):
        app.open_page(Settings(home=tmp_path, mcp=True))


def test_who_waits_in_the_queue_is_called_as_the_door_knows_them():
    """Also whom Gradio did not log in: by a proxy, or with Hugging Face."""
    audit.remember("of-ann", "ann@huggingface")
    for session, name in (("of-ann", "ann@huggingface"), ("of-nobody", "")):
        request = gr.Request(session_hash=session, client={"host": "1.2.3.4"})
        token = LocalContext.request.set(request)
        assert audit.who_asks().user == name
        LocalContext.request.reset(token)


# ---- how much


def test_a_member_has_so_many_jobs_at_work_and_no_more(page, store):
    settings = Settings(home=store.root.parent, member_jobs=2)
    member = replace(page, settings=settings).of_member("bob")
    runs = [member.store.create(Recipe()) for _ in range(3)]
    member.supervisor._whole.look_after(member.settings, member.store)
    for run in runs[:2]:
        member.start(run)
    member.start(runs[0])  # a second click
    relabel(runs[2], note="kept")
    before = as_it_lies(runs[2])
    for refuses in (lambda: member.start(runs[2]), member.make_room):
        with refused("member.too_many_jobs"):
            refuses()
    assert as_it_lies(runs[2]) == before and not runs[2].is_asked("start")
    again = replace(page, settings=settings).of_member("bob")  # after a restart
    again.supervisor._whole.look_after(again.settings, again.store)
    with refused("member.too_many_jobs"):
        again.make_room()
    page.start(page.store.create(Recipe()))  # the owner has no quota


def test_what_is_a_member_s_own_waits_without_a_button_that_refuses_them(page, store):
    member = replace(page, settings=Settings(home=store.root.parent)).of_member("bob")
    member.supervisor._whole.look_after(member.settings, member.store)
    member.start(member.store.create(Recipe(name="waits")))
    drawer = Bar(member).poll({"open": True})["parts"]["jobs"]
    assert "Take it out" in drawer and "Start now" not in drawer


def test_a_member_s_form_says_of_a_shared_run_whose_it_is(page, store):
    """And not that there is none: it stands in their list."""
    shared, private = make_run(store, proof=PROOF), make_run(store, proof=PROOF)
    relabel(shared, add_tags=[SHARED])
    form = MergeForm(page.of_member("bob"))
    asked = {"runs": [shared.id, private.id], "weights": ["1", "1"]}
    said = form.merge_check(asked)["problems"]
    assert said[f"parts.{shared.id}"].code == "run.shared" and said[f"parts.{private.id}"].code == "run.not_there"
    with refused("recipe.several_wrong", kind=gr.Error):
        form.merge(event(**asked))


def test_a_full_home_begins_nothing_and_takes_no_upload(page, store):
    member = replace(page, settings=Settings(home=store.root.parent, member_gb=0)).of_member("bob")
    (member.settings.home / "x").write_bytes(b"x" * 1000)
    for check in (member.make_room, lambda: member.quota.check_space(1)):
        with refused("member.no_room"):
            check()


@pytest.mark.slow
def test_a_training_ends_saved_where_it_would_pass_what_a_member_may_keep(tmp_path, monkeypatch):
    monkeypatch.setenv("QLORA_APP_HOME", str(tmp_path))
    monkeypatch.setenv("QLORA_APP_MEMBER_GB", "0")
    monkeypatch.setenv("QLORA_APP_MEMBER", "")  # so that it is as before afterwards
    monkeypatch.setattr(outside, "_own_of_process", None)
    few = {"checkpoints": 2, "evaluations": 0, "samples": 0, "scored_questions": 0}
    run = RunStore(Settings.from_environment().of_member("bob").runs).create(
        short_recipe(max_steps=4, batch_size=1, **few)
    )
    assert worker.main(run.folder) == 1
    status = run.status()
    assert status.state == "failed" and status.sentence.code == "run.home_full" and status.step < 4
    assert run.saved_steps() == [status.step]


def test_tokens_are_counted_for_each_who_asks_and_forgotten_after_a_minute():
    now = [0.0]
    tokens = quota.Tokens(10, clock=lambda: now[0])
    tokens.add("a", 10)
    tokens.check("b")
    with refused("chat.tokens_used"):
        tokens.check("a")
    now[0] = 61.0
    tokens.check("a")
    assert not tokens._sums
    quota.Tokens(0).add("a", 10**9)
    quota.Tokens(0).check("a")
