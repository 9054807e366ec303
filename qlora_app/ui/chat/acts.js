// What the buttons at questions and answers do, beside asking. All that stands in room.js is known here.
let lost = null; // the conversation before something was taken out of it

function changeKept(change) {
  talk = shelf.changed(talk, change);
  rows.show(talk); drawKept();
  remember(); controls();
}

// ---- going on, taking out

function continueAt(at) {
  const turn = talk.turns[at], only = Talk.goingOn(turn);
  if (Talk.isUnderWay(talk) || !only.length) return;
  if (turn.vote) vote(at, turn.vote.kind, turn.vote.place); // it was about the answers as they were
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
  composer.putBack(last.question); composer.box.focus();
}

function takeOut(at, words) {
  leave();
  lost = talk;
  changeKept(mine => Talk.withoutTurn(mine, at));
  sayLost(words);
  composer.box.focus();
}

function sayLost(words) {
  find('.gone').replaceChildren(words, ' ', button('put-back', word('Put it back')));
}

function putBack() {
  const was = lost;
  lost = null; find('.gone').replaceChildren();
  if (!was) return;
  if (was.run !== talk.run) { shelf.put(was); choose(was.run, was.number); return; }
  leave();
  shelf.put(was); show(was);
}

function removeTalk(run, number) {
  const isShown = run === talk.run && number === talk.number;
  if (isShown) leave();
  lost = isShown && talk.turns.length ? talk : shelf.get(run, number);
  shelf.remove(run, number);
  if (isShown) show(Talk.begin(run, shelf.next(run), partner.title, talk.sides));
  if (lost) sayLost(word('The conversation was deleted.'));
}

// ---- votes

async function vote(at, kind, place) {
  const before = talk.turns[at].vote || null;
  setVote(at, Talk.voted(talk, at, kind, place).turns[at].vote);
  const said = talk.turns[at].vote ? kind : 'none';
  const told = await tell(at, {kind: said, place});
  if (told) showVotes(told); else setVote(at, before);
}

function setVote(at, given) { talk = Talk.withTurn(talk, at, () => ({vote: given})); rows.update(talk, at); save(true); }

// What the server says to a vote, or nothing, and why is said.
async function tell(at, given) {
  const turn = talk.turns[at];
  const told = await server.vote({...given, run: talk.run, name: `${talk.run}/${Talk.id(turn)}`, sides: talk.sides, question: turn.question,
    before: Talk.known(Talk.until(talk, at)), how: talk.how || {},
    answers: turn.answers.map(answer => answer && {text: answer.text, was: answer.was ?? answer.text, checksum: answer.checksum || ''})}).catch(() => null);
  if (told && !told.problem) return told;
  find('#chat-note').textContent = told?.problem || word('The app does not answer. Try again.');
  return null;
}

function showVotes({pairs, examples}) {
  const parts = [];
  if (pairs) parts.push(word('Pairs of a better and a worse answer: {n}.', {n: figure(pairs)}), button('train-on', word('Train on the better ones'), {'data-on': 'pairs'}));
  if (examples) parts.push(word('Corrected answers: {n}.', {n: figure(examples)}), button('train-on', word('Train on these'), {'data-on': 'examples'}));
  find('.votes').replaceChildren(...parts.flatMap(part => [part, ' ']));
}

// An answer as it should have been: what was typed is in a box in its place.
function correct(row, place) {
  const at = +row.dataset.at, turn = talk.turns[at], answer = turn.answers[place], section = row.querySelectorAll('.answer')[place];
  const box = make('textarea', {class: 'editing', 'aria-label': word('What it should have said'), rows: Math.min(14, 3 + answer.text.split('\n').length + Math.floor(answer.text.length / 60))});
  box.value = answer.text;
  const put = () => row.replaceWith(rows.row(talk.turns[at], at));
  const take = async text => {
    const before = talk;
    changeKept(mine => Talk.corrected(mine, at, place, text));
    const told = await tell(at, {kind: talk.turns[at].answers[place].was === undefined ? 'as_said' : 'right', place});
    if (told) showVotes(told); else { talk = before; box.value = text ?? box.value; save(true); rows.show(talk); drawKept(); }
    composer.box.focus();
  };
  const deeds = [['Keep it', () => box.value.trim() && take(box.value.trim())], ['Cancel', put]];
  if (answer.was !== undefined) deeds.push(['As it was said', () => take(null)]);
  box.addEventListener('keydown', e => {
    if (e.key === 'Escape') { put(); composer.box.focus(); }
    if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) { e.preventDefault(); deeds[0][1](); }
  });
  section.querySelector('.said').replaceChildren(box);
  section.querySelector('.took').replaceChildren(...deeds.map(([words, deed]) => {
    const one = make('button', {type: 'button'}, word(words));
    one.addEventListener('click', deed);
    return one;
  }));
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
