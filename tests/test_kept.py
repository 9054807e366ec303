"""Conversations that the server keeps for whoever has logged in."""

import json
import stat

import pytest

from qlora_app.settings import Settings
from qlora_app.ui.audit import Asker, at_the_door
from qlora_app.ui.chat import kept
from qlora_app.ui.chat.kept import Kept, KeptOfEach


def of(tmp_path, user="anna"):
    return Kept.of(tmp_path, user)


def talk(run="a-run", number=1, **more):
    return json.dumps({"run": run, "number": number, "turns": [], **more})


def put(mine, key="a-run:1", text=None, version=""):
    return mine.keep({"key": key, "text": talk() if text is None else text, "version": version})


def test_what_one_browser_keeps_another_is_told_also_after_a_restart(tmp_path):
    version = put(of(tmp_path))["version"]
    told = of(tmp_path).kept({})
    assert told.pop("who") == of(tmp_path).folder.name != of(tmp_path, "bert").kept({})["who"]
    assert told == {"talks": {"a-run:1": {"text": talk(), "version": version}}, "keys": ["a-run:1"], "more": False}
    assert of(tmp_path).kept({"have": {"a-run:1": version}})["talks"] == {}
    (file,) = tmp_path.glob("conversations/*/*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_nobody_sees_what_another_keeps(tmp_path):
    put(of(tmp_path))
    for other in ("Anna", "bert", "../anna", "anna/..", ""):
        stranger = of(tmp_path, other)
        assert stranger.kept({})["keys"] == [] and stranger.folder.parent == tmp_path / "conversations"


def test_those_who_share_a_page_keep_their_own(tmp_path):
    page = KeptOfEach(Settings(home=tmp_path, user="anna", password="secret"))
    for name in ("anna", "bert"):
        at_the_door.set(Asker(name, ""))
        assert page.kept({})["keys"] == []
        put(page)
        assert page.kept({})["keys"] == ["a-run:1"]
    at_the_door.set(None)
    assert page.kept({})["keys"] == ["a-run:1"], "the login of the settings"


def test_a_window_does_not_write_over_what_another_has_written(tmp_path):
    mine = of(tmp_path)
    first = put(mine)["version"]
    longer, other = talk(title="here"), talk(title="there")
    second = put(mine, text=longer, version=first)["version"]
    assert put(mine, text=other, version=first) == {"theirs": longer, "version": second}
    assert put(mine, text=other, version="") == {"theirs": longer, "version": second}
    assert put(mine, text=longer, version=first) == {"version": second}, "the same words again"
    assert mine.keep({"key": "a-run:1", "text": None, "version": first})["theirs"] == longer
    assert mine.keep({"key": "a-run:1", "text": None, "version": second}) == {"version": ""}
    assert mine.kept({})["keys"] == []


@pytest.mark.parametrize(
    "asked",
    [
        None,
        [],
        {},
        {"key": "../../x:1", "text": talk("../../x")},
        {"key": "a-run:0", "text": talk(number=0)},
        {"key": "a-run:2", "text": talk()},
        {"key": "a-run:1", "text": "[" * 100_000},
        {"key": "a-run:1", "text": 7},
        {"key": "a-run:1", "text": talk(title="x" * kept.LARGEST)},
    ],
)
def test_what_is_no_conversation_is_not_written(tmp_path, asked):
    mine = of(tmp_path)
    assert "problem" in mine.keep(asked)
    assert not list(tmp_path.rglob("*.json")) and mine.kept(asked)["keys"] == []


def test_there_is_an_end_to_what_is_kept_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "MOST", 2)
    mine = of(tmp_path)
    told = [put(mine, f"a-run:{n}", talk(number=n)) for n in (1, 2, 3)]
    assert "version" in told[1] and "2" in told[2]["problem"]
    assert put(mine, text=talk(title="longer"), version=told[0]["version"])["version"]


def test_many_are_told_in_pieces(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "AT_ONCE", 10)
    mine = of(tmp_path)
    for n in range(1, 6):
        put(mine, f"a-run:{n}", talk(number=n))
    have, rounds = {}, 0
    while rounds < 10:
        told = mine.kept({"have": have})
        have |= {key: one["version"] for key, one in told["talks"].items()}
        rounds += 1
        if not told["more"]:
            break
    assert len(have) == 5 and 1 < rounds < 7
