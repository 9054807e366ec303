"""The arena: who is given what, what a vote may say, what traffic tells, and what its owner learns of it."""

import json
import random
import re
import threading
from collections import Counter
from dataclasses import replace
from itertools import combinations

import httpx
import pytest

from qlora_app.cli import main
from qlora_app.evaluate.arena import (
    CHOICES,
    Arena,
    arena_named,
    arenas,
    create_arena,
    link_of,
    path_of,
    preferences_of,
    rows_of,
    set_open,
    standing_of,
)
from qlora_app.evaluate.arena import doubts as doubts_room
from qlora_app.evaluate.arena.doubts import CROWD, HASTY, doubted, without
from qlora_app.evaluate.ratings import read_judgments
from qlora_app.settings import Settings
from qlora_app.ui.arena.rating_page import shown
from qlora_app.ui.door import routes
from tests.fixtures.serving import served
from tests.refusing import refused

MODELS = ("guanaco-7f3kq", "base:llama-7f3kq", "endpoint:gpt-7f3kq")
SECRET = "7f3kq"  # in all that no rater may be told before they vote


def evaluation(home, questions=4, models=MODELS):
    """Answers as an evaluation leaves them."""
    rows = [
        {
            "id": f"id-{SECRET}-{at}",
            "question": f"Question {at}?",
            "category": f"category-{SECRET}",
            "answers": {model: f"  Answer {place} to {at}. \n" for place, model in enumerate(models)},
            "checksums": {model: f"{SECRET}{place}" for place, model in enumerate(models)},
        }
        for at in range(questions)
    ]
    file = home / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


@pytest.fixture
def settings(home):
    return Settings.from_environment()


@pytest.fixture
def arena(settings, home):
    return create_arena(settings, evaluation(home))


# ---- who is given what


PAIRS = [tuple(sorted(pair)) for pair in combinations(MODELS, 2)]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_raters_do_each_pair_counts_once_for_each_and_the_least_played_is_given(seed, arena):
    draw, given = random.Random(seed), []
    open_now, played = {}, Counter()
    raters = [f"rater {number}" for number in range(3)]
    while raters:
        rater = draw.choice(raters)
        left = {(id, pair) for id in arena.questions for pair in PAIRS} - {one[1:] for one in given if one[0] == rater}
        looked_at = played + Counter(one.pair for one in open_now.values())
        assignment = arena.give(rater)
        if assignment is None:
            assert not left
            raters.remove(rater)
            continue
        if rater in open_now:
            assert assignment == open_now[rater], "a page that is loaded again shows the same pair"
        else:
            assert looked_at[assignment.pair] == min(looked_at[pair] for _, pair in left)
            given.append((rater, assignment.question, assignment.pair))
        open_now[rater] = assignment
        if draw.random() < 0.3:
            continue
        del open_now[rater]
        if draw.random() < 0.2:
            arena.skip(rater, assignment.id)
        else:
            arena.vote(rater, assignment.id, draw.choice(list(CHOICES)))
            played[assignment.pair] += 1
    assert len(given) == len(set(given)) == 3 * 4 * len(PAIRS)


def test_the_side_is_a_fair_coin(settings, home):
    arena = create_arena(settings, evaluation(home, questions=200, models=MODELS[:2]))
    on_the_left = 0
    for _ in range(200):
        given = arena.give("ann")
        on_the_left += given.left == MODELS[0]
        arena.skip("ann", given.id)
    assert 60 <= on_the_left <= 140, "it is beyond that once in a hundred million times"


def test_votes_survive_and_are_the_same_to_everybody_who_reads_them(arena):
    for choice in CHOICES:
        arena.vote("ann", arena.give("ann").id, choice, f" because {choice} ")
    open_pair = arena.give("ann")
    other = Arena(arena.folder)
    assert other.votes() == arena.votes() and other.give("ann") == open_pair
    other.vote("ann", open_pair.id, "left")
    assert len(arena.votes()) == 5, "another app on the same folder"
    with refused("arena.voted_already"):
        arena.vote("ann", open_pair.id, "left")
    winners = {vote.choice: vote.winner for vote in arena.votes()}
    assert winners == CHOICES and arena.votes()[0].comment == "because left"


def test_a_line_that_was_cut_off_loses_no_other_vote(arena):
    arena.vote("ann", arena.give("ann").id, "left")
    with open(arena.folder / "votes.jsonl", "a") as votes:
        votes.write('{"question": "q", "mod')
    arena.vote("ann", arena.give("ann").id, "right")
    assert [vote.choice for vote in Arena(arena.folder).votes()] == ["left", "right"]


def test_many_at_once_lose_no_vote(arena):
    def rate(name):
        mine = Arena(arena.folder) if name % 2 else arena
        while given := mine.give(f"rater {name}"):
            mine.vote(f"rater {name}", given.id, "left")

    threads = [threading.Thread(target=rate, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    votes = arena.votes()
    assert len(votes) == len({vote.assignment for vote in votes}) == 4 * 4 * len(PAIRS)


# ---- what a vote may not be


def test_a_vote_is_worth_what_the_server_gave(arena):
    mine, theirs = arena.give("ann"), arena.give("eve")
    with refused("arena.not_yours"):
        arena.vote("eve", mine.id, "left")
    with refused("arena.not_yours"):
        arena.vote("eve", "made-up", "left")
    with refused("arena.no_choice"):
        arena.vote("eve", theirs.id, MODELS[0])
    arena.vote("eve", theirs.id, "left")
    for deed in (lambda: arena.vote("eve", theirs.id, "right"), lambda: arena.skip("eve", theirs.id)):
        with refused("arena.voted_already"):
            deed()
    assert len(arena.votes()) == 1


# ---- how it is made


@pytest.mark.parametrize("name", ["guanaco-test", "LLAMA vs all", f"x{SECRET}"])
def test_its_name_tells_no_model(name, settings, home):
    with refused("arena.name_tells"):
        create_arena(settings, evaluation(home), name)
    assert arenas(settings) == []


def test_what_nobody_answered_twice_is_not_shown(settings, home):
    file = home / "rows.jsonl"
    file.write_text('{"id": 1, "question": "q", "answers": {"a": "x", "b": " "}}\n{"id": 2}\nnothing\n')
    with refused("arena.no_questions"):
        create_arena(settings, str(file))
    with refused("file.not_there"):
        create_arena(settings, str(home / "none.jsonl"))


def test_a_closed_link_opens_nothing_and_another_one_is_another(arena, settings):
    first = link_of(arena)
    set_open(arena, False)
    assert path_of(arena) == "" and not link_of(arena).opens(first.token) and not link_of(arena).opens("")
    set_open(arena, True)
    assert link_of(arena).token not in ("", first.token) and link_of(arena).key == first.key
    assert arena_named(settings, arena.id[:12]).id == arena.id


# ---- what comes of it


def test_votes_are_rows_for_ratings_and_pairs_to_train_on(arena, tmp_path, capsys):
    for choice in ("left", "right", "equal", "both_bad"):
        arena.vote("ann", arena.give("ann").id, choice)
    assert main(["arena", "export", "latest", "--out", str(tmp_path / "votes.jsonl")]) == 0
    judged = read_judgments(tmp_path / "votes.jsonl")
    assert judged.rows == [vote.judgment for vote in arena.votes()] and not judged.bad
    assert {row.checksum_a for row in judged.rows} <= {f"{SECRET}{place}" for place in range(len(MODELS))}
    for row, vote in zip(rows_of(arena), arena.votes(), strict=True):
        assert row["answer_a"] == arena.questions[vote.question].answers[vote.model_a]
    pairs = list(preferences_of(arena))
    assert len(pairs) == 2 and pairs[0]["chosen"] != pairs[0]["rejected"]
    assert main(["arena", "show", "latest", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["votes"] == 4 and set(told["ratings"]["bradley_terry"]) <= set(MODELS)


def test_the_owner_is_told_when_it_is_clear(settings, home):
    arena = create_arena(settings, evaluation(home, questions=30, models=MODELS[:2]))
    assert standing_of(arena).words.code == "arena.no_votes"
    for at in range(30):
        given = arena.give("ann")
        better = "left" if (given.left == MODELS[0]) == (at % 6 > 0) else "right"
        arena.vote("ann", given.id, better)
        if at == 3:
            assert standing_of(arena).words.code == "arena.not_clear"
    standing = standing_of(arena)
    assert standing.words.code == "arena.is_clear" and standing.ratings.standings[0].model == MODELS[0]


def test_votes_in_doubt_are_counted_and_can_be_left_out(arena, monkeypatch):
    for at in range(CROWD + 1):
        near = "" if at == CROWD else "one"
        arena.vote(f"rater{at}", arena.give(f"rater{at}").id, "left", near=near)
    arena.vote("calm", arena.give("calm").id, "left", near="two")
    votes = [replace(vote, seconds=HASTY - 1 if at == CROWD else HASTY) for at, vote in enumerate(arena.votes())]
    assert {doubt: len(some) for doubt, some in doubted(votes).items()} == {"hasty": 1, "crowded": CROWD}
    assert [vote.rater for vote in without(votes, ["hasty", "crowded"])] == ["calm"]
    assert without(votes, ["crowded"]) == votes[CROWD:] and without(votes, []) == votes
    monkeypatch.setattr(doubts_room, "HASTY", 3600)  # however slow this machine is
    assert standing_of(arena).doubts == {"hasty": CROWD + 2, "crowded": CROWD} and standing_of(arena).votes == CROWD + 2
    assert standing_of(arena, ["hasty"]).words.code == "arena.all_left_out"
    assert standing_of(arena, ["hasty"]).votes == 0 and standing_of(arena, ["crowded"]).votes == 2
    assert [row["rater"] for row in rows_of(arena, ["crowded"])] == [f"rater{CROWD}", "calm"]


def test_reasoning_tells_no_model_from_another():
    assert shown("<think>a thought</think>\nHello.") == shown(" Hello.\n")
    assert "<img" not in shown("<img src=x onerror=alert(1)>")


# ---- by the network: three raters, one of whom cheats


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    home = tmp_path_factory.mktemp("rated")
    with served(home) as app:
        app.settings = Settings(home=home)
        app.arena = create_arena(app.settings, evaluation(home, questions=12))
        yield app


class Rater:
    """A browser with its own cookies, which keeps all that it was sent."""

    def __init__(self, app, **headers):
        self.arena, self.heard = app.arena, []
        self.token = link_of(app.arena).token
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{app.port}", headers=headers, timeout=20)

    def hear(self, answer):
        self.heard.append(f"{answer.url} {answer.headers} {answer.text}")
        return answer

    def open(self):
        return self.hear(self.client.get(path_of(self.arena)))

    def ask(self, deed, **sent):
        return self.hear(self.client.post(f"/arena/{self.arena.id}/{deed}", json={"token": self.token, **sent}))


def test_traffic_before_a_vote_tells_nothing_of_who_answered(rated):
    rater = Rater(rated)
    assert rater.open().status_code == 200
    first = rater.ask("next").json()
    assert set(first) == {"assignment", "done", "of", "question", "left", "right"}
    assert "Answer" in first["left"] and first["left"] == first["left"].strip() + "\n"
    second = rater.ask("vote", assignment=first["assignment"], choice="left").json()
    rater.ask("skip", assignment=second["assignment"])
    heard = "\n".join(rater.heard)
    assert not re.search(SECRET, heard), "no name, no id of a question, no category"
    assert all(word not in heard for word in ("model_a", "elo", "rank", str(rated.arena.folder)))
    page = re.sub(r"nonce[-=][\"']?[\w-]+", "", Rater(rated).open().text)
    assert page == re.sub(r"nonce[-=][\"']?[\w-]+", "", rater.client.get(path_of(rated.arena)).text), "same for all"


def test_three_raters_and_the_one_who_cheats_counts_once(rated):
    raters = [Rater(rated) for _ in range(3)]
    for rater in raters:
        rater.open()
    given = [rater.ask("next").json()["assignment"] for rater in raters]
    assert len(set(given)) == 3
    ann, bob, eve = raters
    before = len(rated.arena.votes())
    assert ann.ask("vote", assignment=given[0], choice="left").status_code == 200
    assert bob.ask("vote", assignment=given[1], choice="equal", comment="alike").status_code == 200
    assert eve.ask("vote", assignment=given[2], choice="right").status_code == 200
    again = {
        "arena.voted_already": eve.ask("vote", assignment=given[2], choice="left"),  # twice
        "arena.not_yours": eve.ask("vote", assignment=given[0], choice="left"),  # somebody else's
        "arena.not_read": eve.ask("vote", assignment=given[2], choice="left", side="left"),  # a side of their own
        "arena.no_link": eve.ask("rank"),
    }
    assert {code: answer.json()["code"] for code, answer in again.items()} == {code: code for code in again}
    assert again["arena.voted_already"].status_code == 409 and again["arena.not_yours"].status_code == 403
    open_pair = eve.ask("next").json()["assignment"]
    assert eve.ask("vote", assignment=open_pair, choice=MODELS[0]).json()["code"] == "arena.no_choice"
    votes = rated.arena.votes()[before:]
    assert [vote.choice for vote in votes] == ["left", "equal", "right"]
    assert len({vote.rater for vote in votes}) == 3 and votes[1].comment == "alike"


def test_who_has_no_link_or_makes_up_who_they_are_rates_nothing(rated):
    eve = Rater(rated)
    assert eve.ask("next").json()["code"] == "arena.no_cookie"
    eve.open()
    (name,) = [name for name in eve.client.cookies if name.startswith("guanaco-rater")]
    id, _, signature = eve.client.cookies[name].rpartition(".")
    for forged in (f"{id}x.{signature}", "somebody.", f"{id}.", "."):
        stranger = Rater(rated, cookie=f"{name}={forged}")
        assert stranger.ask("next").json()["code"] == "arena.no_cookie", forged
    for token in ("", "x", link_of(rated.arena).token[:-1]):
        eve.token = token
        assert eve.ask("next").json()["code"] == "arena.no_link"
        assert eve.client.get(f"/arena/{rated.arena.id}", params={"token": token}).status_code == 404
    assert eve.client.get("/arena/none", params={"token": "x"}).status_code == 404
    assert eve.client.get(f"/arena/..%2f{rated.arena.id}").status_code in (404, 405)
    large = eve.client.post(f"/arena/{rated.arena.id}/vote", content=b"x" * 100_000)
    assert large.status_code == 413


def test_who_asks_too_often_waits(rated):
    rater = Rater(rated)
    rater.open()
    codes = [rater.ask("next").json().get("code") for _ in range(70)]
    assert codes[0] is None and codes[-1] == "arena.too_fast"
    calm = Rater(rated)
    calm.open()
    assert "assignment" in calm.ask("next").json(), "nobody else waits for it"


def test_the_owner_s_page_shows_the_ranking_and_closes_the_link(rated, monkeypatch):
    monkeypatch.setattr(doubts_room, "HASTY", 3600)
    for rater in ("ann", "bob", "cat"):  # so that every model has a vote
        rated.arena.vote(rater, rated.arena.give(rater).id, "left")
    client = httpx.Client(base_url=f"http://127.0.0.1:{rated.port}", headers={"accept-language": "de"})
    rater = Rater(rated)
    rater.open()
    rater.ask("vote", assignment=rater.ask("next").json()["assignment"], choice="left")
    assert re.fullmatch("[0-9a-f]{12}", rated.arena.votes()[-1].near)
    left_out = client.get(f"/arenas/{rated.arena.id}?without=hasty&without=nonsense").text
    assert "Stimmen: 0." in left_out and "Wieder mitzählen" in left_out and "nonsense" not in left_out
    page = client.get(f"/arenas/{rated.arena.id}")
    assert "Weglassen" in page.text
    assert page.status_code == 200 and MODELS[0] in page.text and "Wertung" in page.text
    assert MODELS[0] in client.get(f"/arenas/{rated.arena.id}/live").json()["html"]
    for name in ("votes.jsonl", "preferences.jsonl", "leaderboard.csv"):
        assert client.get(f"/arenas/{rated.arena.id}/file/{name}").status_code == 200
    assert client.get(f"/arenas/{rated.arena.id}/file/link.json").status_code == 404
    rater = Rater(rated)
    assert client.post(f"/arenas/{rated.arena.id}/link/close").status_code == 303
    assert rater.client.get(f"/arena/{rated.arena.id}", params={"token": rater.token}).status_code == 404
    assert client.post(f"/arenas/{rated.arena.id}/link/open").status_code == 303
    foreign = client.post(f"/arenas/{rated.arena.id}/link/close", headers={"origin": "https://evil.example"})
    assert foreign.status_code == 403 and path_of(rated.arena)


def test_an_arena_is_made_of_an_evaluation_on_the_page(rated):
    folder = rated.settings.evaluations / "2026-11-30-1200-exact-match"
    folder.mkdir()
    (folder / "job.yaml").write_text("kind: evaluate\n")
    (folder / "rows.jsonl").write_text((rated.settings.home / "rows.jsonl").read_text())
    client = httpx.Client(base_url=f"http://127.0.0.1:{rated.port}")
    page = client.get("/arenas").text
    assert folder.name in page and rated.arena.id in page
    made = client.post("/arenas", data={"of": folder.name})
    assert made.status_code == 303 and client.get(made.headers["location"]).status_code == 200
    for of in ("", "none", "../rows", str(rated.settings.home / "rows.jsonl"), rated.arena.id):
        assert client.post("/arenas", data={"of": of}).status_code == 400


def test_marks_of_its_addresses():
    assert routes.who_may("/arena/x") == routes.who_may("/arena/x/vote") == "rater"
    for path in ("/arenas", "/arenas/x", "/arenas/x/live", "/arenas/x/file/votes.jsonl", "/arenas/x/link/open"):
        assert routes.who_may(path) == "owner"


@pytest.mark.slow
def test_with_a_login_raters_need_the_link_and_only_the_owner_sees_the_ranking(tmp_path):
    with served(tmp_path, user="pat", password="a long password") as app:
        app.settings = Settings(home=tmp_path)
        app.arena = create_arena(app.settings, evaluation(tmp_path))
        rater = Rater(app)
        assert rater.open().status_code == 200
        given = rater.ask("next").json()
        assert rater.ask("vote", assignment=given["assignment"], choice="left").status_code == 200
        assert rater.client.get(f"/arenas/{app.arena.id}").status_code == 401
        assert rater.client.get(f"/arenas/{app.arena.id}/live").status_code == 401
        owner = Rater(app)
        owner.client.post("/login", data={"username": "pat", "password": "a long password"})
        assert owner.client.get(f"/arenas/{app.arena.id}").status_code == 200
        given = owner.ask("next").json()
        owner.ask("vote", assignment=given["assignment"], choice="left")
        assert [vote.rater.partition(":")[0] for vote in app.arena.votes()] == ["visitor", "login"]


@pytest.mark.slow
def test_visitors_of_a_demonstration_may_rate_and_see_no_ranking(tmp_path):
    with served(tmp_path, public_url="http://127.0.0.1") as app:
        app.settings = Settings(home=tmp_path)
        app.arena = create_arena(app.settings, evaluation(tmp_path))
        rater = Rater(app)
        rater.open()
        assert "assignment" in rater.ask("next").json()
        assert rater.client.get(f"/arenas/{app.arena.id}").status_code == 403
