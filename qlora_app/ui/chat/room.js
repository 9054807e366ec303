// The chat: who is talked to, the conversation, what waits to be asked. `element`, `props`, `server`, `trigger` and
// `watch` come from gr.HTML; the classes stand in front of this.
const ALL_EVENTS = ['ask', 'stop', 'choose', 'recall', 'train_on', 'why'];
const page = element.querySelector('.room'), find = selector => page.querySelector(selector);
const may = name => page.dataset.may.split(' ').includes(name); // functions of the server that not everyone has
speak(page);

const shelf = new Shelf(may('kept') ? new FarStorage(server, {clash, said: words => { find('.unkept').textContent = words ? word(words) : ''; }}, storageHere()) : storageHere());
const drafts = new Drafts(storageHere(), () => shelf.storage.who || '');
const rows = new Rows(find('.exchanges'), drafts), log = find('.talk');
const heads = new Heads(find('.answering'), {who: sides => server.who(sides), find: asked => server.find({...asked, onlyChats: true}), use, named});
const composer = new Composer(find('form'), text => ask(text));
let partner = null, talk = null, queued = [], savedAt = 0, wanted = fromAddress(), sent = 0, over = 0;
let measured = 0; // how often it was measured how full the context is
let catching = false; // columns that are new are being asked what came before
let isRead = !may('kept'); // what is kept elsewhere is known
rows.canVote = may('vote');
let fleeting = []; // texts of an answer that grows, of which the HTML is kept until there is more

// ---- whom one talks to

function fromAddress() {
  const q = new URLSearchParams(location.search);
  if (q.get('tab') !== 'chat' || !q.get('run')) return null;
  page.dataset.used = '1';
  return {run: q.get('run'), number: Math.max(0, Math.min(1e6, parseInt(q.get('chat'), 10) || 0)), ask: q.get('ask') || '', step: parseInt(q.get('step'), 10)};
}

function meet() {
  if (!props.partner || !isRead) return;
  const other = JSON.parse(props.partner), isSame = partner?.run === other.run;
  partner = other.isGone ? {...other, title: shelf.get(other.run, wanted?.number)?.title || other.run} : other;
  if (partner.isWanted) page.dataset.used = '1';
  head();
  if (!isSame) goOn(other.run);
}

function goOn(run) {
  leave();
  const {number = 0, ask: filled = '', step} = wanted?.run === run ? wanted : {};
  wanted = null;
  if (filled) { // a link with a question: it stands in the box of a conversation of its own, and is asked by whoever came
    const [base, own] = usualSides(run);
    show(Talk.begin(run, shelf.next(run), partner.title, [base, step >= 0 ? {...own, checkpoint: step} : own]));
    composer.putBack(filled);
    return;
  }
  const kept = number ? shelf.get(run, number) : shelf.latest(run);
  show(kept || Talk.begin(run, number || 1, partner.title));
}

function head() {
  find('.who b').textContent = partner.title;
  find('.who .words').textContent = [partner.differs, partner.when].filter(Boolean).join(' · ');
  find('.departed').textContent = partner.isGone ? word('This run is not here any more. What was said can be read.') : '';
  page.dataset.task = taskOf(partner);
  find('.answering').inert = !!partner.isGone;
  find('#chips').replaceChildren(...partner.chips.map(text =>
    make('button', {type: 'button', 'data-question': text, translate: 'no'}, text.length > 90 ? text.slice(0, 88) + '…' : text)));
}

function taskOf({isGone, isChat}) {
  if (isGone) return 'gone';
  return isChat ? 'chat' : 'other';
}

function choose(run, number = 0) {
  wanted = {run, number};
  page.dataset.used = '1';
  if (run === partner?.run) { goOn(run); return; }
  leave();
  trigger('choose', {run});
}

// ---- the conversation

function show(other) {
  talk = other;
  composer.putBack(drafts.messageOf(talk));
  columns();
  remember(); controls(); toEnd(true);
  drawKept();
  writeOn();
  guanacoOnceReady(recallHow);
  composer.box.focus({preventScroll: true});
}

// How it is to be asked the next time: kept as it is typed, until it was asked so.
const howKey = () => `how ${talk.run}:${talk.number}`;
function recallHow() {
  const how = guanacoKept(howKey())?.how || talk.how;
  if (how) trigger('recall', how);
}
function keepHow() {
  const how = {};
  for (const field of document.querySelectorAll('#how-asked [id^="how-"], #system-text')) {
    const box = [...field.querySelectorAll('textarea, input')].find(one => one.type !== 'radio' || one.checked);
    if (!box || (box.type === 'number' && box.value === '')) continue;
    const name = field.id === 'system-text' ? 'system' : field.id.slice(4).replaceAll('-', '_');
    how[name] = {checkbox: box.checked, number: Number(box.value)}[box.type] ?? box.value;
  }
  guanacoKeep(howKey(), {how});
}

// The boxes in which somebody wrote when the page was left.
function writeOn() {
  const draftOf = id => rows.boxes.has(id) || partner.isGone ? '' : drafts.get(id);
  talk.turns.forEach((turn, at) => {
    const question = draftOf(Talk.id(turn));
    if (question) edit(at, question);
    if (rows.canVote) turn.answers.forEach((answer, place) => { const right = answer && draftOf(answer.id); if (right) correct(at, place, right); });
  });
}

// What waits to be asked is typed, too.
function keepMessage() { if (talk) drafts.putMessage(talk, [...queued, composer.box.value].filter(text => text.trim()).join('\n')); }

// ---- its columns

function columns() {
  heads.show(talk.sides, partner);
  named();
  rows.show(talk);
  find('form textarea').placeholder = find('.hint h2').textContent = word(['Ask', 'Ask both'][talk.sides.length - 1] || 'Ask all');
  fit();
}

function named() { rows.names = heads.names(); rows.rename(); }

// Another conversation where something that was said would be gone; the one it is from stays as it is.
function arrange(other, isLess) {
  leave();
  talk = isLess && talk.turns.length ? {...other, number: shelf.next(talk.run)} : other;
  columns();
  save(true); remember(); controls(); drawKept();
}

function use(place, side) {
  if (JSON.stringify(side) === JSON.stringify(talk.sides[place])) return;
  arrange(Talk.changed(talk, place, side), true);
  catchUp();
}

function addColumn() { arrange(Talk.added(talk, talk.sides[talk.sides.length - 1]), false); catchUp(); }

// A column that is new answers the questions that came before it, one after the other.
function catchUp() {
  const open = Talk.open(talk);
  if (!open) return;
  const {at, only} = open, turn = talk.turns[at], asking = `${turn.asking.split('/')[0]}/${Date.now()}-${sent}`;
  talk = Talk.askedOf(talk, at, asking, only);
  catching = true; sent += 1;
  rows.update(talk, at);
  save(true); controls();
  trigger('ask', {asking, question: turn.question, before: Talk.known(Talk.until(talk, at)), sides: talk.sides, only});
}

// What the browser keeps is text; the server makes HTML of it, some answers at a time.
async function drawKept() {
  const mine = talk, missing = mine.turns.flatMap(Talk.texts)
    .filter(text => text.trim() && !rows.drawn.has(text));
  for (let at = 0; at < missing.length; at += 10) {
    const some = missing.slice(at, at + 10), drawn = await server.draw(some).catch(() => []);
    drawn.forEach((html, i) => rows.drawn.set(some[i], html));
    if (mine.number !== talk.number || mine.run !== talk.run) return;
    talk.turns.forEach((_, i) => rows.update(talk, i));
    toEnd(true);
  }
}

function ask(question) {
  if (!partner || partner.isGone || !talk) return;
  turnHow(false);
  if (mustJudge()) { composer.putBack(question); return; }
  if (Talk.isUnderWay(talk)) { queued.push(question); controls(); return; }
  if (!talk.turns.length && shelf.get(talk.run, talk.number)?.turns.length) talk = {...talk, number: shelf.next(talk.run)};
  const before = Talk.known(talk), asking = `${talk.number}-${Date.now()}-${sent}`;
  talk = Talk.asked({...talk, title: partner.title}, asking, question, Date.now());
  page.dataset.used = '1'; sent += 1;
  rows.update(talk, talk.turns.length - 1);
  save(true); remember(); controls(); toEnd(true);
  trigger('ask', {asking, question, before, sides: talk.sides, blind: asksBlind()});
}

function hear() {
  if (!props.news || !talk) return;
  const news = JSON.parse(props.news), at = talk.turns.findIndex(turn => turn.asking === news.asking);
  if (at < 0 || !UNDER_WAY.includes(talk.turns[at].state)) return;
  const isUnderWay = UNDER_WAY.includes(news.state), wasAtEnd = isAtEnd(), answers = Object.values(news.answers || {});
  fleeting.forEach(text => rows.drawn.delete(text));
  answers.forEach(answer => rows.drawn.set(answer.text, answer.html));
  fleeting = isUnderWay ? answers.map(answer => answer.text) : [];
  const told = props.how ? JSON.parse(props.how) : null, how = told?.asking === news.asking ? told.values : undefined;
  if (how) guanacoForget(howKey());
  talk = Talk.heard(how ? {...talk, how} : talk, {...news, how});
  rows.update(talk, at);
  if (!news.blind) Object.entries(news.answers || {}).forEach(([place, answer]) => heads.check(+place, answer.checksum));
  save(!isUnderWay);
  if (wasAtEnd) toEnd(true);
  if (!isUnderWay) ended(talk.turns[at]);
}

function ended(turn) {
  controls();
  if (turn.state === 'done') say(turn);
  if (catching && turn.state === 'done' && Talk.open(talk)) { catchUp(); return; }
  catching = false;
  const next = turn.state === 'done' ? queued.shift() : undefined;
  if (next !== undefined) { controls(); ask(next); } else giveBack();
}

// What waits is not asked after a failure or a stop: it goes back into the box.
function giveBack() { if (queued.length) composer.putBack(queued.join('\n')); queued = []; controls(); }

function say(turn) {
  const short = text => text.slice(0, 400) || word('(It answered nothing.)');
  find('.spoken').textContent = turn.answers.map((answer, place) => `${rows.nameOf(turn, place)}: ${short(answer?.text || '')}`).join(' ');
}

function end(state, note) {
  fleeting = []; catching = false;
  const at = talk ? talk.turns.findIndex(turn => UNDER_WAY.includes(turn.state)) : -1;
  if (at < 0) return;
  talk = Talk.ended(talk, state, note);
  rows.update(talk, at);
  save(true); giveBack();
}

function stop() { trigger('stop', {asking: underWay()}); end('stopped', ''); composer.box.focus(); }
function leave() { if (talk && Talk.isUnderWay(talk)) { trigger('stop', {asking: underWay()}); end('stopped', ''); } queued = []; }
const underWay = () => talk.turns.find(turn => UNDER_WAY.includes(turn.state))?.asking || '';
function again(at) { const question = talk.turns[at].question; askFrom(at, question); }

// Did somebody vote in it, correct it, or begin to?
const isMarked = turn => !!turn.vote || turn.answers.some(answer => answer && (answer.was !== undefined || rows.boxes.has(answer.id)));

// An earlier question asked anew begins another conversation, and so does one of which something was said; the one it is from
// stays as it is.
function askFrom(at, question) {
  leave();
  const mayGo = at === talk.turns.length - 1 && !isMarked(talk.turns[at]);
  talk = mayGo ? shelf.takeBack(talk) : {...Talk.copied(Talk.until(talk, at)), number: shelf.next(talk.run)};
  rows.show(talk); drawKept();
  ask(question);
}

function edit(at, draft) {
  const id = Talk.id(talk.turns[at]);
  const box = make('textarea', {class: 'editing', 'aria-label': word('Message'), rows: 2});
  box.value = draft ?? talk.turns[at].question;
  const put = () => rows.written(id);
  const send = () => { const text = box.value.trim(); put(); if (text) askFrom(talk.turns.findIndex(turn => Talk.id(turn) === id), text); };
  const take = make('button', {type: 'button'}, word('Ask')), leaveIt = make('button', {type: 'button'}, word('Cancel'));
  take.addEventListener('click', send); leaveIt.addEventListener('click', put);
  box.addEventListener('keydown', e => {
    if (e.key === 'Escape') { put(); composer.box.focus(); }
    if (sends(e)) { e.preventDefault(); send(); composer.box.focus(); }
  });
  rows.write(id, make('div', {class: 'writing'}, box, make('p', {class: 'took quiet'}, take, leaveIt)));
  box.focus();
}

// Another window has written under the number of a conversation: this one goes on under another.
function clash(key, mine, theirs) {
  if (mine === null) return; // it was to be deleted, and somebody went on with it
  const own = JSON.parse(mine), isShown = own.run === talk?.run && own.number === talk.number;
  const moved = {...(isShown ? talk : own), number: shelf.next(own.run)};
  shelf.put(moved);
  if (isShown) { talk = moved; remember(); }
}

// What was kept elsewhere: a conversation that went on in another window goes on here.
async function readKept() {
  while (!await shelf.storage.look()) await new Promise(done => setTimeout(done, 2000));
  if (!isRead) {
    const taken = shelf.storage.takeOver(here => shelf.takeOver(here));
    isRead = true; meet();
    const count = await taken;
    if (count) find('.gone').textContent = word('Conversations of this browser that are now kept under your login too: {n}.', {n: figure(count)});
    return;
  }
  const kept = talk && shelf.get(talk.run, talk.number);
  const isLonger = kept && !Talk.isUnderWay(talk) && kept.turns.length > talk.turns.length && talk.turns.every((turn, i) => turn.asking === kept.turns[i].asking);
  if (isLonger) show(kept);
}
const whys = new Whys((row, place, asking) => {
  const at = +row.dataset.at, turn = talk.turns[at], answer = turn.answers[place];
  trigger('why', {asking, question: turn.question, before: Talk.known(Talk.until(talk, at)), sides: talk.sides, only: [place],
    answer: answer.text, hasEnded: answer.end === 'stop', how: Talk.howOf(talk, turn, answer), checksum: answer.checksum || ''});
});

function save(now = false) {
  if (!now && Date.now() - savedAt < 1000) return;
  savedAt = Date.now();
  const {number} = talk;
  talk = shelf.apart(talk);
  if (talk.number !== number) remember();
  const isPlain = !talk.turns.length && JSON.stringify(talk.sides) === JSON.stringify(usualSides(talk.run));
  const note = isPlain ? '' : unkept(shelf.put(talk));
  find('.unkept').textContent = note;
}

function unkept(isKept) {
  if (!isKept) return word('This browser has no room left: this conversation ends with the page.');
  return shelf.storage.isFleeting ? word('This browser keeps nothing: this conversation ends with the page.') : '';
}

// ---- the page around it

function remember() {
  if (!window.guanacoReady || !talk || element.offsetParent === null) return;
  const q = new URLSearchParams(location.search);
  q.set('tab', 'chat'); q.set('run', talk.run); q.set('chat', talk.number); ['evaluation', 'ask', 'step'].forEach(name => q.delete(name));
  history.replaceState(null, '', '?' + q);
}

// How full the context would be with what stands in the box: after a moment in which nothing was typed.
async function measure() {
  const mine = measured += 1;
  await new Promise(done => setTimeout(done, 400));
  if (mine !== measured || !talk || !partner?.isChat || Talk.isUnderWay(talk)) return;
  const question = composer.box.value.trim(), isShort = !talk.turns.length && question.length < 200;
  const value = (id, tag) => document.querySelector(`#${id} ${tag}`)?.value;
  const how = {...talk.how, system: value('system-text', 'textarea') ?? talk.how?.system, max_new_tokens: +value('how-max-new-tokens', 'input') || 256};
  const told = isShort ? {} : await server.measure({run: talk.run, question, before: Talk.known(talk), sides: talk.sides, how}).catch(() => ({}));
  if (mine !== measured) return;
  const filled = told.context ? word('{n} of {m} tokens', {n: figure(told.used), m: figure(told.context)}) : '';
  find('.fill').textContent = told.note ? `${filled}. ${word('Asked now, not all of it would be read.')} ${told.note}` : filled;
  find('.fill').classList.toggle('over', !!told.note);
}

function controls() {
  measure(); keepMessage();
  const isBusy = !!talk && Talk.isUnderWay(talk);
  find('#stop-chat').hidden = !isBusy; find('#send').textContent = word(isBusy ? 'Ask next' : 'Ask');
  find('.queued').hidden = !queued.length;
  find('.queued').replaceChildren(...queued.map((text, i) => make('li', {}, make('span', {class: 'quiet'}, word('Asked next:')), ' ',
    make('span', {translate: 'no'}, text), button('unqueue', '✕', {'data-at': i, 'aria-label': word('Take back')}))));
  page.toggleAttribute('data-empty', !talk?.turns.length);
  page.toggleAttribute('data-busy', isBusy);
  find('.more').hidden = !talk?.turns.length;
  hide();
}

const isAtEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 60;
const toEnd = really => { if (really) log.scrollTop = log.scrollHeight; };
function fit() {
  page.style.setProperty('--top', `${Math.round(page.getBoundingClientRect().top + scrollY)}px`);
  find('.answering').style.paddingRight = `${log.offsetWidth - log.clientWidth}px`; // where the scroll bar is
}

async function copy(place, text) {
  try { await navigator.clipboard.writeText(text); } catch {
    const box = make('textarea', {class: 'only-read'}); box.value = text; page.append(box); box.select(); document.execCommand('copy'); box.remove();
  }
  place.dataset.words ||= place.textContent;
  place.textContent = word('Copied'); setTimeout(() => { place.textContent = place.dataset.words; }, 1500);
}

new Picker(find('.who'), asked => server.find(asked), run => choose(run));

page.addEventListener('click', e => {
  const one = e.target.closest('button'); if (!one) return;
  const row = one.closest('.exchange'), at = row ? +row.dataset.at : 0, name = one.dataset.do;
  if (one.dataset.question) ask(one.dataset.question);
  else if (name === 'again') again(at);
  else if (name === 'edit') edit(at);
  else if (name === 'catch-up') catchUp();
  else if (name === 'why') whys.turn(one);
  else if (name === 'copy') copy(one, one.dataset.copy === 'question' ? talk.turns[at].question : talk.turns[at].answers[one.dataset.copy].text);
  else if (name === 'copy-code') copy(one, one.parentElement.querySelector('pre').textContent);
  else if (name === 'add-column') addColumn();
  else if (name === 'swap-column') { const place = +one.dataset.place; arrange(Talk.swapped(talk, place, (place + 1) % talk.sides.length), false); }
  else if (name === 'remove-column') arrange(Talk.removed(talk, +one.dataset.place), true);
  else if (name === 'continue') continueAt(at);
  else if (name === 'take-out') takeOut(at, word('Deleted.'));
  else if (name === 'put-back') { putBack(); composer.box.focus(); }
  else if (name === 'untell') untell();
  else if (name === 'vote') vote(at, one.dataset.vote, talk.turns[at].answers[one.dataset.place].id);
  else if (name === 'judge') judge(at, one.dataset.choice);
  else if (name === 'correct') correct(at, +one.dataset.place);
  else if (name === 'train-on') trigger('train_on', {on: one.dataset.on});
  else if (name === 'unqueue') { queued.splice(+one.dataset.at, 1); controls(); composer.box.focus(); }
});

function turnHow(isOpen) {
  document.getElementById('how-asked')?.classList.toggle('open', isOpen);
  find('.how').setAttribute('aria-expanded', String(isOpen));
}

find('.blind').addEventListener('click', turnBlind);
find('.how').addEventListener('click', () => turnHow(find('.how').getAttribute('aria-expanded') !== 'true'));
// On the document: the panel may come after this script, and the focus may stand on its button.
document.addEventListener('keydown', e => {
  if (e.key !== 'Escape' || find('.how').getAttribute('aria-expanded') !== 'true') return;
  turnHow(false); find('.how').focus();
});
document.addEventListener('pointerdown', e => { if (!e.target.closest('#how-asked, .how')) turnHow(false); });
composer.box.addEventListener('input', () => { measure(); keepMessage(); });
document.addEventListener('input', e => { if (talk && e.target.closest('#how-asked')) keepHow(); });
find('.exchanges').addEventListener('input', e => { if (e.target.matches('.editing')) drafts.put(e.target.closest('[data-id]').dataset.id, e.target.value); });
find('#stop-chat').addEventListener('click', stop);
find('.new').addEventListener('click', () => { leave(); show(Talk.begin(partner.run, shelf.next(partner.run), partner.title, talk?.sides)); });
document.addEventListener('chat-shown', () => { fit(); remember(); composer.box.focus({preventScroll: true}); });
// The server has nothing more to say: a question that is still open then was refused or lost.
document.addEventListener('chat-over', () => { over += 1; setTimeout(() => { if (over >= sent) end('failed', word('No answer came. Ask again.')); }, 500); });
addEventListener('pagehide', () => talk && save(true));
addEventListener('resize', fit);
watch('partner', meet);
watch('news', hear);
watch('why', () => { if (props.why) whys.hear(JSON.parse(props.why)); });
watch('note', () => { find('#chat-note').textContent = props.note || ''; });
find('#chat-note').textContent = props.note || '';
watch('link', () => { find('.link').textContent = props.link || ''; });
find('.link').textContent = props.link || '';
fit(); controls(); meet();
if (may('kept')) {
  readKept();
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && readKept());
}
(function whenReady() { if (window.guanacoReady) { fit(); remember(); } else setTimeout(whenReady, 100); })();
