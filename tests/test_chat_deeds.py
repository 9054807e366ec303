"""What may be done with a conversation, by the scripts that touch no page: run by node where it is there."""

import json

import pytest

from qlora_app.training_data import DatasetChoice, import_text, load_examples
from tests.test_chat_scripts import run


def deeds(script):
    return run(script, "conversation.js", "deeds.js", "shelf.js", "far_shelf.js")


ANSWERED = """
const done = (talk, asking, question, ends, at = 1) => {
  const answers = Object.fromEntries(ends.map(([text, end], place) => [place, {...said(text, 4), end}]));
  return Talk.heard(Talk.asked(talk, asking, question, at), {asking, state: 'done', answers}); };
const begun = () => done(Talk.begin('r', 1, 'title'), 'a', 'One?', [['base says', 'stop'], ['tuned says', 'length']]);
"""


def test_an_answer_goes_on_where_it_ended_by_its_length_and_counts_on():
    found = deeds(
        ANSWERED
        + """
        const talk = Talk.wentOn(begun(), 0, 'a/2'), begin = Talk.begun(talk.turns[0]);
        const news = (state, text) => ({asking: 'a/2', state, answers: {1: {...said(text, 3), end: 'stop'}}});
        const half = Talk.heard(talk, news('answering', 'tuned says more'));
        const grown = Talk.heard(half, news('done', 'tuned says more.'));
        const lost = Talk.ended(talk, 'failed', 'why');
        const [goesOn, over, stopped] = [begun(), grown, Talk.ended(talk)].map(one => Talk.goingOn(one.turns[0]));
        const {id} = talk.turns[0].answers[1], [after, failed] = [grown, lost].map(one => one.turns[0].answers);
        return {id, goesOn, over, stopped, begin, grown: after, lost: failed};"""
    )
    assert found["goesOn"] == [1] and found["begin"] == ["", "tuned says"]
    assert found["over"] == [] and found["stopped"] == [1]
    base, tuned = found["grown"]
    assert base["text"] == "base says"
    assert tuned.pop("id") == found["id"], "it is the same answer"
    assert tuned == {"text": "tuned says more.", "tokens": 7, "seconds": 1, "end": "stop"}
    assert [answer["text"] for answer in found["lost"]] == ["base says", "tuned says"], "nothing is lost where it fails"


def test_a_vote_is_given_changed_and_taken_back_and_a_correction_too():
    found = deeds(
        ANSWERED
        + """
        const votes = [];
        let talk = begun();
        const {id} = talk.turns[0].answers[1];
        for (const kind of ['better', 'worse', 'worse']) {
          const vote = Talk.voted(talk.turns[0], kind, id);
          votes.push(vote);
          talk = Talk.withTurn(talk, 0, () => ({vote}));
        }
        const first = Talk.corrected(talk, 0, id, 'first'), right = Talk.corrected(first, 0, id, 'right');
        const back = Talk.corrected(right, 0, id, null);
        const alone = done(Talk.begin('r', 1, ''), 'a', 'One?', [['same', 'stop'], ['same ', 'stop']]);
        const may = [talk, alone].map(one => Talk.canVote(one.turns[0]));
        const names = [first, right, back].map(one => Talk.names(one.turns[0]));
        return {id, votes, names, right: right.turns[0].answers[1], back: back.turns[0].answers[1], may};"""
    )
    better, worse, none = found["votes"]
    assert none is None and better["id"] == worse["id"] == found["id"] and better["named"] == worse["named"]
    first, right, back = found["names"]
    assert len(first) == 1 and first == right and back == []
    assert found["right"]["text"] == "right" and found["right"]["was"] == "tuned says"
    assert found["back"]["text"] == "tuned says" and "was" not in found["back"]
    assert found["may"] == [True, False]


def test_an_export_is_a_dataset_that_the_data_page_reads(tmp_path):
    text = deeds(
        ANSWERED
        + """
        const ends = [['', 'stop'], ['</script> {"a": 1}', 'stop']];
        const first = {...done(begun(), 'b', 'Two?\\n"quoted" ü', ends), how: {system: 'Be kind.'}};
        const silent = Talk.asked(Talk.begin('r', 2, ''), 'c', 'Nobody?', 3);
        const base = done(Talk.begin('r', 3, '', [{who: 'base', run: 'r'}]), 'd', 'Base?', [['I am base', 'stop']]);
        return Talk.jsonl([first, silent, base]);"""
    )
    choice = DatasetChoice(source="file", id=import_text(text, tmp_path), held_out_share=0)
    first, base = sorted(load_examples(choice, tmp_path).train, key=len, reverse=True)
    roles = [(turn["role"], turn["content"]) for turn in first]
    assert roles == [
        ("system", "Be kind."),
        ("user", "One?"),
        ("assistant", "tuned says"),
        ("user", 'Two?\n"quoted" ü'),
        ("assistant", '</script> {"a": 1}'),
    ]
    assert [turn["content"] for turn in base] == ["Base?", "I am base"]


COLUMNS = """
const three = () => [{who: 'base', run: 'r'}, {who: 'run', run: 'r'}, {who: 'run', run: 's'}];
const voted = () => { let talk = Talk.begin('r', 1, '', three());
  for (const name of ['a', 'b']) talk = done(talk, name, `${name}?`, [['x', 'stop'], ['y', 'stop'], ['z', 'stop']]);
  talk = Talk.withTurn(talk, 0, turn => ({vote: Talk.voted(turn, 'better', turn.answers[1].id)}));
  return Talk.corrected(talk, 1, talk.turns[1].answers[2].id, 'z right'); };
const shown = talk => talk.turns.flatMap(turn => [
  ...(turn.vote ? [['vote', turn.answers.find(answer => answer?.id === turn.vote.id)?.text]] : []),
  ...turn.answers.filter(answer => answer?.named).map(answer => ['right', answer.was])]);
"""


def test_whatever_is_done_with_columns_a_vote_stays_with_its_answer_or_with_the_conversation_that_it_was_given_in():
    found = deeds(
        ANSWERED
        + COLUMNS
        + """
        const stay = [], gone = [], other = {who: 'run', run: 'o'};
        for (const one of [0, 1, 2]) {
          for (const two of [0, 1, 2]) stay.push(Talk.swapped(voted(), one, two));
          gone.push(Talk.removed(voted(), one), Talk.changed(voted(), one, other));
        }
        stay.push(Talk.added(voted(), other), Talk.read(JSON.parse(JSON.stringify(voted()))));
        gone.push(Talk.copied(voted()));
        const typed = gone.flatMap(talk => talk.turns[1].answers.filter(answer => answer?.text === 'z right'));
        return {stay: stay.map(shown), gone: gone.map(shown), typed: typed.map(answer => answer.was)};"""
    )
    assert len(found["stay"]) == 11 and all(one == [["vote", "y"], ["right", "z"]] for one in found["stay"])
    assert len(found["gone"]) == 7 and not any(found["gone"])
    assert found["typed"] == ["z"] * 5, "a copy says of it too that a person wrote it"


def test_a_vote_of_an_earlier_version_can_be_taken_back():
    found = deeds(
        ANSWERED
        + """
        const answer = (text, more) => ({text, tokens: 1, seconds: 1, ...more});
        const worse = place => ({question: 'q', state: 'done', vote: {kind: 'worse', place}});
        const kept = {run: 'r', number: 1, at: 1, sides: usualSides('r'), how: {system: 'Old.'}, turns: [
          {...worse(0), asking: '1-2-0/9', answers: [answer('x'), answer('y')]},
          {...worse(0), asking: '1-3-1', vote: null, answers: [answer('x'), answer('z', {was: 'y'})]},
          {...worse(7), asking: '1-4-2', answers: [null, answer('y')]}]};
        const talk = Talk.read(kept), [one] = talk.turns;
        const names = talk.turns.map(Talk.names), systems = talk.turns.map(turn => turn.how.system);
        return {names, systems, voted: Talk.placeOf(one, one.vote.id), again: Talk.voted(one, 'worse', one.vote.id)};"""
    )
    assert found["names"] == [["1-2-0"], ["1-3-1/1"], []], "so were they called"
    assert found["voted"] == 0 and found["again"] is None and found["systems"] == ["Old."] * 3


def test_an_answer_keeps_what_it_was_asked_with():
    found = deeds(
        ANSWERED
        + """
        const asked = (talk, asking, system, answers) =>
          Talk.heard(talk, {asking, state: 'done', how: {system}, answers});
        let talk = Talk.asked(Talk.begin('r', 1, ''), 'a', 'One?', 1);
        talk = asked(talk, 'a', 'Be kind.', {0: said('x'), 1: said('y')});
        talk = asked(Talk.asked(talk, 'b', 'Two?', 2), 'b', 'Be short.', {0: said('x'), 1: said('y')});
        talk = Talk.added(talk, {who: 'run', run: 's'});
        talk = asked(Talk.askedOf(talk, 0, 'a/1', [2]), 'a/1', 'Be short.', {2: said('z')});
        talk = asked(Talk.askedOf(talk, 1, 'b/1', [2]), 'b/1', 'Be short.', {2: {...said('z'), system: 'Its own.'}});
        const read = Talk.read(JSON.parse(JSON.stringify({...talk, how: {system: 'Newest.'}})));
        const systems = read.turns.map(turn => turn.answers.map(answer => Talk.systemOf(read, turn, answer)));
        return {systems, rows: Talk.messages(read)};"""
    )
    assert found["systems"] == [["Be kind.", "Be kind.", "Be short."], ["Be short.", "Be short.", "Its own."]]
    firsts = [(row[0]["content"], len(row)) for row in found["rows"]]
    assert firsts == [("Be kind.", 3), ("Be short.", 3), ("Be short.", 3), ("Its own.", 3)]


def test_what_is_put_back_stands_among_what_was_said_since():
    found = deeds(
        ANSWERED
        + COLUMNS
        + """
        const was = voted(), turn = was.turns[0];
        const since = done(Talk.withoutTurn(was, 0), 'c', 'c?', [['x', 'stop'], ['y', 'stop'], ['z', 'stop']]);
        const words = turn => turn.question + turn.answers.map(answer => answer?.text ?? '-').join('');
        const changed = Talk.changed(since, 1, {who: 'run', run: 'o'});
        const back = [since, Talk.swapped(since, 0, 2), changed, Talk.removed(since, 1)]
          .map(talk => Talk.putBack(talk, 0, turn, was.sides));
        const shelf = new Shelf(memory());
        shelf.put(since);
        const next = shelf.next('r');
        shelf.remove('r', 1);
        const given = back.map(talk => Talk.given(talk.turns[0]).length);
        return {said: back.map(talk => talk.turns.map(words)), given, next: [next, shelf.next('r')]};"""
    )
    assert found["said"] == [
        ["a?xyz", "b?xyz right", "c?xyz"],
        ["a?zyx", "b?z rightyx", "c?zyx"],
        ["a?x-z", "b?x-z right", "c?x-z"],
        ["a?xz", "b?xz right", "c?xz"],
    ]
    assert found["given"] == [1, 1, 0, 0] and found["next"] == [2, 2]


def test_conversations_are_found_by_any_words_that_were_said():
    found = deeds(
        ANSWERED
        + """
        const talk = done(begun(), 'b', 'Where is the Mill?', [['By the river', 'stop'], ['On the hill', 'stop']]);
        const holds = ['mill RIVER', 'one', 'sea'].map(words => Talk.holds(talk, words));
        return [holds, Talk.around(talk, 'river'), Talk.name(Talk.withoutTurn(talk, 0))];"""
    )
    assert found == [[True, True, False], "By the river", "Where is the Mill?"]


SERVER = """
globalThis.setTimeout = (set => (done, ms) => set(done, Math.min(ms, 5)))(globalThis.setTimeout);
const files = new Map(), clashes = [], words = [];
let down = 0, meanwhile = () => {};
const server = {
  keep: async ({key, text, version}) => {
    if (down) { down -= 1; throw new Error('down'); }
    const there = files.get(key);
    if ((there?.version || '') !== version) return {theirs: there ? there.text : null, version: there?.version || ''};
    files.delete(key);
    if (text !== null) files.set(key, {text, version: `v${text.length}`});
    return {version: files.get(key)?.version || ''};
  },
  kept: async ({have}) => {
    const told = {more: false, keys: [...files.keys()], who: 'ada',
      talks: Object.fromEntries([...files].filter(([key, one]) => have[key] !== one.version))};
    await meanwhile();
    return told;
  },
};
const ways = {clash: (key, mine, theirs) => clashes.push([key, !!mine, !!theirs]), said: text => words.push(text)};
const open = (here = memory()) => new Shelf(new FarStorage(server, ways, here));
const settled = async shelf => { while (shelf.storage.sending) await new Promise(done => setTimeout(done, 5)); };
const two = (talk, asking, question) => done(talk, asking, question, [['x', 'stop'], ['y', 'stop']]);
"""


def test_what_the_server_keeps_is_told_to_other_windows_and_nobody_writes_over_another():
    found = deeds(
        ANSWERED
        + SERVER
        + """
        const one = open(), other = open();
        one.put(begun());
        await settled(one);
        await other.storage.look();
        const told = other.all().map(Talk.name);
        other.put(two(other.get('r', 1), 'b', 'Here?'));
        await settled(other);
        one.put(two(one.get('r', 1), 'c', 'And there?'));
        await settled(one);
        const kept = JSON.parse(files.get('r:1').text).turns.map(turn => turn.question);
        down = 1;
        one.put({...begun(), number: 2});
        await settled(one);
        one.remove('r', 2);
        await settled(one);
        const mine = one.get('r', 1).turns.length, again = words.filter(Boolean).length;
        return {told, kept, mine, clashes, again, left: [...files.keys()]};"""
    )
    assert found == {
        "told": ["One?"],
        "kept": ["One?", "Here?"],
        "mine": 2,
        "clashes": [["guanaco-chat:r:1", True, True]],
        "again": 1,
        "left": ["r:1"],
    }


@pytest.mark.parametrize("deed", ["put", "change", "remove"])
def test_what_is_written_while_the_server_is_asked_stays_written(deed):
    found = deeds(
        ANSWERED
        + SERVER
        + f"""
        const one = open(), longer = () => two(begun(), 'b', 'Two?');
        await one.storage.look();
        if ({json.dumps(deed)} !== 'put') one.put(begun());
        await settled(one);
        meanwhile = async () => {{
          if ({json.dumps(deed)} === 'remove') one.remove('r', 1); else one.put(longer());
          await settled(one);
        }};
        await one.storage.look();
        meanwhile = () => {{}};
        const seen = one.all().map(talk => talk.turns.length);
        one.put({{...longer(), at: 9}});
        await settled(one);
        return {{seen, clashes, left: [...files.keys()]}};"""
    )
    assert found == {"seen": [] if deed == "remove" else [2], "clashes": [], "left": ["r:1"]}


def test_what_the_server_did_not_get_is_there_when_the_page_is_opened_again():
    found = deeds(
        ANSWERED
        + SERVER
        + """
        const here = memory(), one = open(here);
        await one.storage.look();
        one.put(begun());
        await settled(one);
        const waiting = [here.length];
        down = 1e9;
        one.put(two(begun(), 'b', 'Two?'));
        one.put({...begun(), number: 2});
        one.storage.changed.clear(); // the page is closed
        waiting.push(here.length);
        down = 0;
        const again = open(here);
        await again.storage.look();
        await settled(again);
        const kept = [...files].map(([key, one]) => [key, JSON.parse(one.text).turns.length]);
        return {waiting, kept, seen: again.all().length, clashes, left: here.length};"""
    )
    assert found == {"waiting": [0, 2], "kept": [["r:1", 2], ["r:2", 1]], "seen": 2, "clashes": [], "left": 0}


def test_what_this_browser_kept_is_taken_over_once_and_stays_in_it():
    found = deeds(
        ANSWERED
        + SERVER
        + """
        const here = memory(), mine = new Shelf(here), one = open(here), count = [];
        const other = two(Talk.begin('r', 1, 'title'), 'z', 'Elsewhere?');
        mine.put(begun());
        mine.put({...begun(), run: 's'});
        mine.put(Talk.begin('t', 1, 'nothing was said'));
        files.set('r:1', {text: JSON.stringify(other), version: 'v0'});
        await one.storage.look();
        for (let i = 0; i < 2; i++) count.push(await one.storage.takeOver(from => one.takeOver(from)));
        one.remove('s', 1);
        await settled(one);
        const again = open(here);
        await again.storage.look();
        count.push(await again.storage.takeOver(from => again.takeOver(from)));
        const first = JSON.parse(files.get('r:1').text).turns[0].question;
        return {count, keys: [...files.keys()], first, here: mine.all().length};"""
    )
    assert found == {"count": [2, 0, 0], "keys": ["r:1", "r:2"], "first": "Elsewhere?", "here": 3}
