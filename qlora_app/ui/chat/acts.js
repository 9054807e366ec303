// What the buttons at questions and answers do, beside asking. All that stands in room.js is known here.
const lost = []; // what was taken out, the newest last: {run, number, talk} or {run, number, talk, at, turn}
let telling = Promise.resolve(); // votes reach the server in the order in which they were given

function changeKept(change) {
  talk = shelf.changed(talk, change);
  rows.show(talk); drawKept();
  remember(); controls();
}

// ---- going on, taking out

function continueAt(at) {
  const turn = talk.turns[at], only = Talk.goingOn(turn);
  if (Talk.isUnderWay(talk) || !only.length) return;
  if (turn.vote) vote(at, turn.vote.kind, turn.vote.id); // it was about the answers as they were
  const asking = `${Talk.id(turn)}/${Date.now()}-${sent}`;
  talk = Talk.wentOn(talk, at, asking);
  sent += 1;
  rows.update(talk, at);
  save(true); controls(); toEnd(true);
  trigger('ask', {asking, question: turn.question, before: Talk.known(Talk.until(talk, at)), sides: talk.sides, only, begun: Talk.begun(talk.turns[at])});
  composer.box.focus();
}

// The last question goes back into the box.
function undo() {
  leave();
  const last = talk.turns[talk.turns.length - 1];
  if (!last) return;
  takeOut(talk.turns.length - 1, word('Taken back.'));
  composer.putBack(last.question); keepMessage(); composer.box.focus();
}

// What the datasets have of it goes too.
function takeOut(at, words) {
  leave();
  const turn = talk.turns[at], before = talk;
  changeKept(mine => Talk.withoutTurn(mine, at));
  lost.push({run: talk.run, number: talk.number, talk: before, at, turn, words});
  sayLost();
  const names = Talk.names(turn);
  if (names.length) tell({kind: 'none', names: names.map(name => `${talk.run}/${name}`)});
  composer.box.focus();
}

function sayLost() {
  const last = lost[lost.length - 1];
  const parts = last ? [last.words, button('put-back', word('Put it back'))] : [];
  if (last && !last.turn && !last.isUntold && last.talk.turns.some(turn => Talk.names(turn).length)) parts.push(button('untell', word('Take back its votes too')));
  find('.gone').replaceChildren(...parts.flatMap(part => [part, ' ']));
}

// The votes of a deleted conversation stay data, unless they are to go too.
function untell() {
  const {run, talk: {turns}} = Object.assign(lost[lost.length - 1], {isUntold: true});
  sayLost();
  turns.map(Talk.names).filter(names => names.length).forEach(names => tell({kind: 'none', names: names.map(name => `${run}/${name}`)}));
  composer.box.focus();
}

// Into what stands there by now: nothing that was said since is written over.
function putBack() {
  const was = lost.pop();
  sayLost();
  if (!was) return;
  const isShown = was.run === talk.run && was.number === talk.number, there = isShown ? talk : shelf.get(was.run, was.number);
  if (!was.turn) { putTalkBack(was.talk, there, was.isUntold); return; }
  const turns = there?.turns || [], at = Math.min(was.at, turns.length);
  const change = mine => Talk.putBack(mine, at, was.turn, was.talk.sides);
  if (isShown) changeKept(change);
  else { shelf.put(change(there || {...was.talk, turns: []})); choose(was.run, was.number); }
  const now = isShown ? talk : shelf.get(was.run, was.number);
  Talk.given(now.turns[at]).forEach(given => tell(voteOf(now, at, given)));
}

function putTalkBack(was, there, isUntold) {
  const back = there?.turns.length ? {...was, number: shelf.next(was.run)} : was;
  shelf.put(back);
  if (isUntold) back.turns.forEach((turn, at) => Talk.given(turn).forEach(given => tell(voteOf(back, at, given))));
  if (was.run === talk.run) { leave(); show(back); } else choose(was.run, back.number);
}

function removeTalk(run, number) {
  const isShown = run === talk.run && number === talk.number;
  if (isShown) leave();
  const gone = isShown && talk.turns.length ? talk : shelf.get(run, number);
  shelf.remove(run, number);
  if (gone) lost.push({run, number, talk: gone, words: word('The conversation was deleted.')});
  if (isShown) show(Talk.begin(run, shelf.next(run), partner.title, talk.sides));
  sayLost();
}

// ---- votes

async function vote(at, kind, id) {
  const {run, number} = talk, turn = talk.turns[at], before = turn.vote || null, now = Talk.voted(turn, kind, id);
  setVote(run, number, turn.asking, now);
  const told = await tell(now ? voteOf(talk, at, now) : {kind: 'none', names: [`${run}/${before.named}`]});
  if (!told) setVote(run, number, turn.asking, before);
}

function setVote(run, number, asking, given) { setTurn(run, number, asking, () => ({vote: given})); }

// A turn of a conversation that may be another one by now than that which is shown.
function setTurn(run, number, asking, change) {
  const isShown = talk.run === run && talk.number === number, mine = isShown ? talk : shelf.get(run, number);
  const at = mine ? mine.turns.findIndex(turn => Talk.id(turn) === asking.split('/')[0]) : -1;
  if (at < 0) return;
  const changed = Talk.withTurn(mine, at, change);
  if (!isShown) { shelf.put(changed); return; }
  talk = changed;
  rows.update(talk, at); save(true);
}

// What a vote says: the very question, as each column was asked.
function voteOf(talk, at, {kind, id, named}) {
  const turn = talk.turns[at];
  return {kind, place: Talk.placeOf(turn, id), run: talk.run, name: `${talk.run}/${named}`, sides: talk.sides, question: turn.question,
    before: Talk.known(Talk.until(talk, at)), answers: turn.answers.map(answer => answer && {text: answer.text, was: answer.was ?? answer.text,
      checksum: answer.checksum || '', how: Talk.howOf(talk, turn, answer)})};
}

// Was it taken? If not, why is said.
function tell(given) {
  const told = telling.then(() => server.vote(given)).catch(() => null);
  telling = told;
  return told.then(answer => {
    if (answer && !answer.problem) { showVotes(answer); return true; }
    find('#chat-note').textContent = answer?.problem || word('The app does not answer. Try again.');
    return false;
  });
}

function showVotes({pairs, examples}) {
  const parts = [];
  if (pairs) parts.push(word('Pairs of a better and a worse answer: {n}.', {n: figure(pairs)}), button('train-on', word('Train on these pairs'), {'data-on': 'pairs'}));
  if (examples) parts.push(word('Corrected answers: {n}.', {n: figure(examples)}), button('train-on', word('Train on these'), {'data-on': 'examples'}));
  find('.votes').replaceChildren(...parts.flatMap(part => [part, ' ']));
}

// An answer as it should have been: what was typed is in a box in its place.
function correct(at, place, draft) {
  const {id, was, text} = talk.turns[at].answers[place];
  const box = make('textarea', {class: 'editing', 'aria-label': word('What it should have said'), rows: Math.min(14, 3 + text.split('\n').length + Math.floor(text.length / 60))});
  box.value = draft ?? text;
  const leaveIt = () => { rows.written(id); composer.box.focus(); };
  const take = async right => {
    const here = talk.turns.findIndex(turn => Talk.placeOf(turn, id) >= 0);
    if (here < 0) { leaveIt(); return; }
    if (UNDER_WAY.includes(talk.turns[here].state)) { find('#chat-note').textContent = word('It is being answered. Keep it when that is over.'); return; }
    const {run, number} = talk, turn = talk.turns[here], before = turn.answers[Talk.placeOf(turn, id)];
    rows.written(id);
    changeKept(mine => Talk.corrected(mine, here, id, right));
    const now = talk.turns[here].answers[Talk.placeOf(turn, id)];
    composer.box.focus();
    if (now.was === undefined && !before.named) return;
    const isTaken = await tell(now.was === undefined ? {kind: 'none', names: [`${run}/${before.named}`]} : voteOf(talk, here, {kind: 'right', id, named: now.named}));
    if (isTaken) return;
    setTurn(run, number, turn.asking, other => ({answers: other.answers.map(one => one?.id === id ? before : one)}));
    rows.write(id, written); drafts.put(id, box.value);
    rows.show(talk); drawKept();
  };
  const keep = () => box.value.trim() && take(box.value.trim());
  const deeds = [['Keep it', keep], ['Cancel', leaveIt]];
  if (was !== undefined) deeds.push(['As it was said', () => take(null)]);
  const written = make('div', {class: 'writing'}, box, make('p', {class: 'took quiet'}, ...deeds.map(([words, deed]) => {
    const one = make('button', {type: 'button'}, word(words));
    one.addEventListener('click', deed);
    return one;
  })));
  box.addEventListener('keydown', e => {
    if (e.key === 'Escape') leaveIt();
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); keep(); }
  });
  rows.write(id, written);
  box.focus();
}

// ---- taking along

function fileName(ending) { return `${talk.run}-${talk.number}.${ending}`; }

function exportTalks(talks, name) {
  const rowsOf = Talk.jsonl(talks);
  if (!rowsOf) { find('#chat-note').textContent = word('Nothing was answered yet.'); return; }
  download(new Blob([rowsOf], {type: 'application/jsonl'}), name);
}

async function picture() {
  const turns = talk.turns.map(turn => ({question: turn.question, answers: turn.answers.flatMap((answer, place) => answer?.text.trim()
    ? [{name: rows.names[place], text: answer.text, html: rows.drawn.get(answer.text)}] : [])}));
  try {
    download(await pictureOf({title: partner.title, by: new Date(talk.at || Date.now()).toLocaleDateString(LANGUAGE), turns}), fileName('png'));
  } catch { find('#chat-note').textContent = word('This conversation is too long for one picture. Export it instead.'); }
}
