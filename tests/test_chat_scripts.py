"""The chat's scripts that touch no page, run by node where it is there."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import qlora_app
from qlora_app.ui.chat.room import SCRIPTS

CHAT = Path(qlora_app.__file__).parent / "ui" / "chat"
STORAGE = """
const memory = (room = Infinity) => { const kept = new Map(); return {
  get length() { return kept.size; }, key: i => [...kept.keys()][i], getItem: k => kept.get(k) ?? null, kept,
  setItem: (k, v) => { if (!kept.has(k) && kept.size >= room) throw new Error('full'); kept.set(k, v); },
  removeItem: k => kept.delete(k) }; };
const said = (text, tokens = 1) => ({text, tokens, seconds: 0.5, html: 'x'});
const answered = (talk, asking, question, at) => Talk.heard(Talk.asked(talk, asking, question, at),
  {asking, state: 'done', answers: {0: said('b ' + question), 1: said('t ' + question)}});
"""


def run(script, *names):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs)")
    source = "\n".join((CHAT / name).read_text(encoding="utf-8") for name in names)
    done = subprocess.run(
        [
            node,
            "-e",
            f"{source}\n{STORAGE}\n(async () => console.log(JSON.stringify(await (async () => {{ {script} }})())))();",
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def conversation(script):
    return run(script, "conversation.js", "shelf.js")


def test_an_answer_grows_and_what_comes_after_its_end_changes_nothing():
    talk = conversation("""
        let talk = Talk.asked(Talk.begin('r', 1, 'title'), 'a', 'Who?', 5);
        talk = Talk.heard(talk, {asking: 'a', state: 'answering', answers: {0: said('x'), 1: said('y')}});
        talk = Talk.heard(talk, {asking: 'other', state: 'done', answers: {0: said('no'), 1: said('no')}});
        talk = Talk.ended(talk);
        return Talk.heard(talk, {asking: 'a', state: 'done', answers: {0: said('late'), 1: said('late')}});""")
    (turn,) = talk["turns"]
    assert turn["state"] == "stopped" and turn["answers"][0].pop("id") != turn["answers"][1]["id"]
    assert turn["answers"][0] == {"text": "x", "tokens": 1, "seconds": 0.5}


def test_a_question_that_nobody_answered_is_not_told_again():
    known = conversation("""
        const first = answered(Talk.begin('r', 1, ''), 'a', 'One?', 1);
        return Talk.known(Talk.ended(Talk.asked(first, 'b', 'Two?', 2), 'failed', 'why'));""")
    assert known == [{"question": "One?", "answers": ["b One?", "t One?"]}]


def test_a_reload_in_the_middle_keeps_what_was_said():
    talk = conversation("""
        const shelf = new Shelf(memory());
        let talk = Talk.asked(Talk.begin('r', 3, ''), 'a', 'Who?', 5);
        shelf.put(Talk.heard(talk, {asking: 'a', state: 'answering', answers: {0: said('half'), 1: said('')}}));
        return shelf.get('r', 3);""")
    assert talk["turns"][0]["state"] == "stopped" and talk["turns"][0]["answers"][0]["text"] == "half"


def test_a_conversation_of_an_earlier_version_opens_as_it_was():
    talk = conversation("""
        const shelf = new Shelf(memory()), turn = {asking: 'a', question: 'Who?', state: 'done', note: 'cut'};
        const how = {temperature: 0.5}, rest = {run: 'r', number: 2, title: 'mine', at: 7, how};
        const kept = {...rest, turns: [{...turn, base: said('x'), tuned: said('y')}]};
        shelf.storage.setItem(shelf.key('r', 2), JSON.stringify(kept));
        const read = shelf.get('r', 2), [now] = read.turns, alike = ['asking', 'question', 'state', 'note'];
        return {read, same: alike.every(name => now[name] === turn[name]), again: Talk.read(read)};""")
    read = talk["read"]
    assert talk["same"] and talk["again"] == read
    assert [read[name] for name in ("run", "number", "title", "at")] == ["r", 2, "mine", 7]
    assert read["how"] == {"temperature": 0.5}
    assert read["sides"] == [{"who": "base", "run": "r"}, {"who": "run", "run": "r"}]
    assert [answer["text"] for answer in read["turns"][0]["answers"]] == ["x", "y"]


def test_swapped_columns_swap_their_answers_of_all_turns():
    found = conversation("""
        let talk = answered(answered(Talk.begin('r', 1, ''), 'a', 'One?', 1), 'b', 'Two?', 2);
        talk = Talk.asked(Talk.added(talk, {who: 'run', run: 'other'}), 'c', 'Three?', 3);
        const now = Talk.swapped(talk, 0, 2), shown = one => one.turns.map(turn => turn.answers.map(a => a && a.text));
        const sides = now.sides.map(side => side.run + side.who);
        return {sides, now: shown(now), back: Talk.swapped(now, 2, 0), talk};""")
    assert found["sides"] == ["otherrun", "rrun", "rbase"]
    assert found["now"] == [[None, "t One?", "b One?"], [None, "t Two?", "b Two?"], ["", "", ""]]
    assert found["back"] == found["talk"]


def test_a_column_that_is_new_or_another_is_asked_what_came_before_and_no_answer_of_another_is_its_own():
    found = conversation("""
        let talk = answered(answered(Talk.begin('r', 1, ''), 'a', 'One?', 1), 'b', 'Two?', 2);
        talk = Talk.changed(talk, 1, {who: 'run', run: 'other'});
        const first = Talk.open(talk);
        talk = Talk.askedOf(talk, first.at, 'a/2', first.only);
        talk = Talk.heard(talk, {asking: 'a/2', state: 'done', answers: {1: said('other one')}});
        const before = Talk.known(Talk.until(talk, 1)), second = Talk.open(talk);
        const gone = Talk.ended(Talk.askedOf(talk, second.at, 'b/2', second.only));
        return {first, before, second, gone: Talk.known(gone), removed: Talk.removed(talk, 0)};""")
    assert found["first"] == {"at": 0, "only": [1]} and found["second"] == {"at": 1, "only": [1]}
    assert found["before"] == [{"question": "One?", "answers": ["b One?", "other one"]}]
    assert found["gone"][1]["answers"] == ["b Two?", None]
    assert [len(turn["answers"]) for turn in found["removed"]["turns"]] == [1, 1]


def test_conversations_are_told_apart_by_run_and_number_and_the_newest_comes_first():
    found = conversation("""
        const shelf = new Shelf(memory());
        for (const [run, number, at] of [['a', 1, 10], ['a', 2, 30], ['b', 1, 20]])
          shelf.put(answered(Talk.begin(run, number, ''), 'x', `${run}${number}`, at));
        shelf.storage.setItem('guanaco-chat:bad:1', '{'); shelf.storage.setItem('other', '1');
        const all = shelf.all().map(Talk.name), latest = Talk.name(shelf.latest('a'));
        const next = [shelf.next('a'), shelf.next('c')];
        shelf.remove('a', 2);
        return {all, latest, next, left: shelf.all().map(Talk.name)};""")
    assert found == {"all": ["a2", "b1", "a1"], "latest": "a2", "next": [3, 1], "left": ["b1", "a1"]}


def test_two_windows_that_go_on_with_one_conversation_both_keep_their_turns():
    found = conversation("""
        const shelf = new Shelf(memory());
        const both = answered(Talk.begin('a', 1, ''), 'x', 'first', 1);
        const save = talk => { const mine = shelf.apart(talk); shelf.put(mine); return mine; };
        save(both);
        const one = save(answered(both, 'y', 'here', 2));
        let other = save(Talk.asked(both, 'z', 'there', 3));
        other = save(Talk.ended(other));
        save(answered(one, 'w', 'more', 4));
        return [one.number, other.number, ...shelf.all().map(talk => talk.turns.map(turn => turn.question).join())];""")
    assert found == [1, 2, "first,here,more", "first,there"]


def test_the_last_question_asked_anew_stays_in_its_conversation():
    found = conversation("""
        const shelf = new Shelf(memory());
        const two = answered(answered(Talk.begin('a', 1, ''), 'x', 'first', 1), 'y', 'last', 2);
        shelf.put(two);
        const anew = shelf.apart(answered(shelf.takeBack(two), 'z', 'last', 3));
        shelf.put(anew);
        const one = answered(Talk.begin('b', 1, ''), 'x', 'only', 4);
        shelf.put(one);
        const other = shelf.apart(answered(shelf.takeBack(one), 'y', 'only', 5));
        return [anew.number, other.number, shelf.get('a', 1).turns.map(turn => turn.asking).join()];""")
    assert found == [1, 1, "x,z"]


def test_where_there_is_no_room_the_oldest_goes():
    left = conversation("""
        const shelf = new Shelf(memory(2));
        for (const number of [1, 2, 3]) shelf.put(answered(Talk.begin('a', number, ''), 'x', `q${number}`, number));
        return shelf.all().map(Talk.name);""")
    assert left == ["q3", "q2"]


def test_what_does_not_fit_at_all_takes_nothing_away_and_a_full_storage_is_still_read():
    found = conversation("""
        const full = memory(2), shelf = new Shelf(full);
        for (const number of [1, 2]) shelf.put(answered(Talk.begin('a', number, ''), 'x', `q${number}`, number));
        full.setItem = (k, v) => { if (v.length > 900) throw new Error('full'); full.kept.set(k, v); };
        globalThis.localStorage = full;
        const here = new Shelf(storageHere());
        const isKept = here.put(answered(Talk.begin('a', 3, ''), 'x', 'long '.repeat(200), 3));
        return {isKept, left: here.all().map(Talk.name)};""")
    assert found == {"isKept": False, "left": ["q2", "q1"]}


def test_enter_sends_but_not_with_shift_and_not_while_a_character_is_written():
    keys = [
        {"key": "Enter"},
        {"key": "Enter", "shiftKey": True},
        {"key": "Enter", "isComposing": True},
        {"key": "Enter", "keyCode": 229},
        {"key": "a"},
    ]
    sent = run(f"return {json.dumps(keys)}.map(sends);", "conversation.js", "composer.js")
    assert sent == [True, False, False, False, False]


def test_a_lost_connection_is_not_taken_for_a_name_that_no_run_has():
    said = run(
        """globalThis.word = text => text; const none = {rows: []};
        return [RunList.nothing(null, false), RunList.nothing(none, true), RunList.nothing(none, false)];""",
        "menus.js",
    )
    assert said == ["The app does not answer. Try again.", "Looking…", "No run is called that."]


@pytest.mark.parametrize(
    ("sides", "differ", "told"),
    [
        ([{"run": "a"}, {"run": "b"}], {"differs": ["rank 4", "rank 8"]}, ["rank 4", "rank 8"]),
        ([{"run": "a"}, {"run": "b"}], {"differs": ["r", "r"], "when": ["1 May", "2 May"]}, ["1 May", "2 May"]),
        ([{"run": "a"}, {"run": "b"}], {}, ["a", "b"]),
        ([{"run": "a", "who": "base"}, {"run": "b", "who": "base"}], {"title": ["one", "other"]}, ["one", "other"]),
        ([{"run": "a", "strength": 0.5}, {"run": "a"}], {}, ["0.5", ""]),
        ([{"run": "a"}, {"run": "a"}], {}, ["(1)", "(2)"]),
        ([{"run": "a"}, {"run": "b"}], {"title": ["one", "other"], "differs": ["r 4", "r 8"]}, ["one", "other"]),
    ],
)
def test_each_column_is_called_otherwise(sides, differ, told):
    sides = [{"who": "run"} | side for side in sides]
    facts = [
        {"title": "helper", "base": "B", "differs": "", "when": "", "steps": []}
        | {name: values[place] for name, values in differ.items()}
        for place in (0, 1)
    ]
    names = run(
        f"""globalThis.word = text => text; globalThis.figure = String;
        const heads = new Heads(null, {{}}), facts = {json.dumps(facts)};
        heads.sides = {json.dumps(sides)}; heads.partner = {{base: 'B'}};
        heads.sides.forEach((side, i) => heads.known.set(JSON.stringify(side), facts[i]));
        return heads.names();""",
        "heads.js",
    )
    assert len(set(names)) == 2 and all(words in name for words, name in zip(told, names, strict=True))
    if "title" in differ and sides[0]["who"] == "run":
        assert names == told


def test_adapters_of_a_mix_that_are_called_alike_are_told_apart():
    names = run(
        """globalThis.word = text => text; globalThis.figure = String;
        const heads = new Heads(null, {}), mix = ['a', 'b', 'c'].map(run => ({run, weight: 1}));
        const side = {who: 'mix', run: 'a', mix};
        const part = (title, differs) => ({title, differs, when: ''});
        const parts = [part('helper', 'r 4'), part('helper', 'r 8'), part('other', '')];
        heads.known.set(JSON.stringify(side), {parts});
        mix[2].checkpoint = 7;
        heads.known.set(JSON.stringify(side), {parts});
        return heads.partNames(side);""",
        "heads.js",
    )
    assert names == ["helper · r 4", "helper · r 8", "other · step {n}"]


def test_all_scripts_of_the_chat_together_are_one_program():
    """No two of them give the same name to something."""
    found = run(
        f"""const files = {json.dumps([f"{CHAT}/{name}.js" for name in SCRIPTS])}, fs = require('node:fs');
        new Function(files.map(file => fs.readFileSync(file, 'utf8')).join('\\n'));
        return files.length;"""
    )
    assert found == len(SCRIPTS)
