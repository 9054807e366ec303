// The turns on the page: the question once, below it the answers level, one for each column. What was said is text, or HTML
// that the server made of it, in which everything was escaped.
function make(tag, attributes = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== null) one.setAttribute(name, value);
  one.append(...children);
  return one;
}

const button = (name, words, attributes = {}) => make('button', {type: 'button', 'data-do': name, ...attributes}, words);

// Which of several answers is better, or what one should have said.
const votes = place => [['better', 'Better'], ['worse', 'Worse']].map(([kind, words]) =>
  button('vote', word(words), {'data-vote': kind, 'data-place': place, 'aria-pressed': 'false'})).concat(
  button('correct', word('Correct'), {'data-place': place, 'aria-pressed': 'false'}));

class Rows {
  // `drawn` is what the server made of texts: {text: HTML}.
  // `names`: of each column. `boxes`: in which somebody writes, by what they stand in the place of: the id of an answer, or of a
  // turn for its question. They go along when rows are drawn anew.
  constructor(place, drafts) { this.place = place; this.drafts = drafts; this.drawn = new Map(); this.names = []; this.canVote = false; this.boxes = new Map(); }

  show(talk) {
    const writing = document.activeElement;
    this.sides = talk.sides;
    this.place.replaceChildren(...talk.turns.map((turn, at) => this.row(turn, at)));
    if (writing !== document.activeElement && writing?.isConnected && writing.closest('.writing')) writing.focus({preventScroll: true});
  }

  write(id, box) { this.boxes.get(id)?.remove(); this.boxes.set(id, box); this.fillBoxes(); }
  written(id) { this.boxes.get(id)?.remove(); this.boxes.delete(id); this.drafts.remove(id); this.fillBoxes(); }
  fillBoxes() { this.place.querySelectorAll('[data-id]').forEach(place => this.fillBox(place, place.dataset.id)); }

  // What can be written over is not seen meanwhile.
  fillBox(place, id) {
    const box = this.boxes.get(id), there = place.querySelector(':scope > .writing');
    place.dataset.id = id;
    place.classList.toggle('written-in', !!box);
    if (there !== (box || null)) there?.remove();
    if (box && box.parentElement !== place) place.append(box);
  }

  // What the columns are called is known now.
  rename() {
    this.place.querySelectorAll('.exchange:not([data-blind]) .answers').forEach(answers => [...answers.children].forEach((answer, place) =>
      this.call(answer, this.names[place])));
  }

  call(answer, name) { answer.setAttribute('aria-label', name); answer.querySelector('h3').textContent = name; }

  // What answers are called before it is told whose they are.
  nameOf(turn, place) { return turn.blind ? word(['Answer A', 'Answer B'][place]) : this.names[place]; }

  // The choices of whoever judges without knowing.
  fillJudge(row, turn) {
    row.toggleAttribute('data-blind', !!turn.blind);
    row.querySelectorAll('.answer').forEach((answer, place) => this.call(answer, this.nameOf(turn, place)));
    if (!turn.blind) row.querySelector('.judge')?.remove();
    else if (!row.querySelector('.judge')) row.querySelector('.answers').after(judgeBar());
  }

  // A row that is new, or that changed.
  update(talk, at) {
    const row = this.place.children[at];
    if (!row) { this.place.append(this.row(talk.turns[at], at)); return; }
    this.fill(row, talk.turns[at]);
  }

  row(turn, at) {
    const answers = this.sides.map((side, place) => make('section', {class: 'answer', 'data-who': side.who, 'aria-label': this.names[place]},
      make('h3', {translate: 'no'}, this.names[place]), make('div', {class: 'said', translate: 'no', dir: 'auto'}),
      make('p', {class: 'not-asked', hidden: ''}, button('catch-up', word('Ask'))), make('p', {class: 'problem'}),
      make('p', {class: 'took quiet'}, make('span'), make('span', {class: 'deeds'},
        button('why', word('Why?'), {'aria-expanded': 'false', title: word('What training changed of each word')}), ...(this.canVote ? votes(place) : []),
        button('copy', word('Copy'), {'data-copy': place})))));
    const acts = make('span', {class: 'acts'}, button('continue', word('Continue'), {hidden: ''}), button('edit', word('Edit')),
      button('again', word('Ask again')), button('copy', word('Copy'), {'data-copy': 'question'}), button('take-out', word('Delete')));
    const row = make('article', {class: 'exchange', 'data-at': at},
      make('div', {class: 'you'}, make('h3', {}, word('You')), make('div', {class: 'said question', translate: 'no', dir: 'auto'},
        turn.question), acts), make('div', {class: 'answers', style: `--columns: ${answers.length}`}, ...answers), make('p', {class: 'quiet remark'}));
    this.fill(row, turn);
    this.fillBox(row.querySelector('.you'), Talk.id(turn));
    return row;
  }

  fill(row, turn) {
    row.dataset.state = turn.state;
    row.querySelector('[data-do=continue]').hidden = UNDER_WAY.includes(turn.state) || !Talk.goingOn(turn).length;
    row.querySelectorAll('.answer').forEach((place, i) => this.fillAnswer(place, turn, turn.answers[i]));
    row.querySelector('.remark').textContent = turn.note;
    this.fillJudge(row, turn);
  }

  fillAnswer(place, turn, given) {
    const answer = given || silent();
    const said = place.querySelector('.said'), html = this.drawn.get(answer.text);
    const nothing = !answer.text.trim();
    if (said.dataset.text !== answer.text) Whys.forget(place);
    said.dataset.text = answer.text;
    said.classList.toggle('nothing', nothing);
    said.classList.toggle('plain', !nothing && html === undefined);
    if (answer.problem && nothing) said.textContent = '';
    else if (nothing) said.textContent = given ? silence(turn.state) : word('Not asked.');
    else if (html === undefined) said.textContent = answer.text;
    else if (said.dataset.of !== answer.text) this.swap(said, html);
    said.dataset.of = nothing || html === undefined ? '' : answer.text; // of which the HTML stands there
    place.querySelector('.took').hidden = nothing;
    place.querySelector('.not-asked').hidden = !!given;
    this.fillBox(place, given?.id || '');
    this.fillVotes(place, turn, answer);
    place.querySelector('.took span').textContent = took(answer);
    place.querySelector('.took span').title = answer.checksum && place.dataset.who !== 'mix' ? `SHA-256 ${answer.checksum}` : '';
    place.querySelector('.problem').textContent = answer.problem || '';
  }

  fillVotes(place, turn, answer) {
    for (const one of place.querySelectorAll('[data-vote]')) {
      one.hidden = UNDER_WAY.includes(turn.state) || !Talk.canVote(turn);
      one.setAttribute('aria-pressed', String(turn.vote?.kind === one.dataset.vote && turn.vote.id === answer.id));
    }
    const correct = place.querySelector('[data-do=correct]');
    if (!correct) return;
    correct.hidden = UNDER_WAY.includes(turn.state);
    correct.textContent = word(answer.was === undefined ? 'Correct' : 'Corrected');
    correct.setAttribute('aria-pressed', String(answer.was !== undefined));
  }

  // A fold that somebody opened or closed stays so.
  swap(said, html) {
    const fold = said.querySelector('details'), isOpen = fold?.open;
    said.innerHTML = html;
    said.querySelectorAll('.code').forEach(code => code.prepend(button('copy-code', word('Copy'), {'aria-label': word('Copy this code')})));
    const now = said.querySelector('details');
    if (!now) return;
    now.open = fold ? isOpen : false;
    now.querySelector('summary').textContent = word('Reasoning');
  }
}

// How many tokens, in what time, and by what where that is not our own engine.
function took({tokens, seconds, end, engine}) {
  if (!tokens) return '';
  const few = number => figure(number, number < 10 ? 1 : 0);
  const cut = end === 'length' ? ` · ${word('as long as it may be')}` : '';
  const by = engine ? ` · ${engine}` : '';
  const speed = seconds ? few(tokens / seconds) : '–';
  return word('{n} tok · {s} s · {r} tok/s', {n: figure(tokens), s: few(seconds), r: speed}) + by + cut;
}

function silence(state) {
  if (state === 'done') return word('(It answered nothing.)');
  return UNDER_WAY.includes(state) ? '…' : word('Stopped before it began.');
}
