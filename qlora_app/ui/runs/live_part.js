// A part of a run's page: asks for it when somebody looks, again while the run moves, and shows it where it changed.
// `element`, `props`, `server`, `trigger` and `watch` come from gr.HTML.
const EVENTS = ['back', 'chat', 'again', 'rename', 'note', 'tag', 'archive', 'remove', 'export', 'unexport'];
const place = element.querySelector('.live-part'), PART = place.dataset.part;
let shown = null, seen = 0, live = false;
const editing = () => !!place.querySelector('input.renaming, textarea, .losing');

async function ask() {
  const run = props.value || '';
  if (run !== shown) { shown = run; seen = 0; place.innerHTML = ''; }
  if (!run || editing()) return;
  const news = await server.part({run, part: PART, seen});
  if (run !== (props.value || '')) return;
  live = news.live;
  if (editing()) return;
  if (news.html != null) show(news.html);
  seen = news.seen;
}
function show(text) {
  const log = place.querySelector('pre.log'), atEnd = !log || log.scrollHeight - log.scrollTop - log.clientHeight < 30;
  const open = [...place.querySelectorAll('details')].map(one => one.open);
  const focused = place.contains(document.activeElement) && document.activeElement.dataset.do;
  const chosen = [...place.querySelectorAll('select[data-of]')].map(one => [one.dataset.of, one.value]);
  place.innerHTML = text;
  for (const [of, value] of [...chosen, ...Object.entries(guanacoKept(`exports ${shown}`)?.values || {})]) { const one = place.querySelector(`select[data-of="${of}"]`); if (one) one.value = value; }
  place.querySelectorAll('details').forEach((one, i) => { one.open = !!open[i]; });
  const now = place.querySelector('pre.log'); if (now && atEnd) now.scrollTop = now.scrollHeight;
  if (focused) place.querySelector(`[data-do="${focused}"]`)?.focus();
}
// The scored answers: those that are looked for, a page at a time. The last that was asked for is shown.
let looking = 0, typing = 0;
async function look(page = 0) {
  const number = ++looking, search = place.querySelector('[name="search-answers"]').value, wrong = place.querySelector('[name="wrong-answers"]').checked;
  const found = await server.answered({run: props.value, search, wrong, page});
  if (number === looking) place.querySelector('.answered').innerHTML = found.html;
}
const poll = guanacoPoll({place: element, ask, every: () => live ? 2000 : Infinity});
const soon = () => poll.soon(200, 800, 1800);

// What is chosen beside a button: {name: value} of each select there.
const chosenBeside = button => Object.fromEntries([...button.parentElement.querySelectorAll('select')].map(one => [one.name, one.value]));

// A field in the place of what it changes: Enter keeps, Escape does not.
function field(before, value, name, most, done, lines = 1) {
  const input = document.createElement(lines > 1 ? 'textarea' : 'input'), key = `${name} ${shown}`;
  input.value = guanacoKept(key)?.text ?? value; input.addEventListener('input', () => guanacoKeep(key, {text: input.value})); input.maxLength = most; input.setAttribute('aria-label', word(name)); input.setAttribute('translate', 'no'); input.className = 'renaming'; if (lines > 1) input.rows = lines;
  before.replaceWith(input); input.focus(); input.select();
  let ended = false;
  const end = keep => { if (ended) return; ended = true; guanacoForget(key); const now = input.value.trim(); if (keep && now !== value) done(now); seen = 0; input.remove(); poll.want(); soon(); };
  input.addEventListener('keydown', e => { if (e.key === 'Enter' && !(e.shiftKey && lines > 1)) { e.preventDefault(); end(true); } if (e.key === 'Escape') end(false); });
  input.addEventListener('blur', () => end(true));
}

element.addEventListener('click', async e => {
  const button = e.target.closest('button'), run = props.value; if (!button) return;
  const act = button.dataset.do;
  if (button.dataset.page) { await look(Number(button.dataset.page)); place.querySelector('.answered').scrollIntoView({block: 'nearest'}); return; }
  if (act === 'copy') { navigator.clipboard?.writeText((button.closest('.code') || place).querySelector('pre').textContent); button.textContent = word('Copied'); return; }
  if (act === 'rename') { const h2 = place.querySelector('h2'); field(h2, h2.textContent, 'Name', 80, name => trigger('rename', {run, name})); return; }
  if (act === 'note') { const note = place.querySelector('.note, .labels > .quiet'); field(note, note.className === 'note' ? note.textContent : '', 'Note', 2000, text => trigger('note', {run, note: text}), 2); return; }
  if (act === 'tag') { field(button, '', 'Add a tag', 40, tag => trigger('tag', {runs: [run], add: [tag]})); return; }
  if (button.dataset.drop) { trigger('tag', {runs: [run], drop: [button.dataset.drop]}); button.remove(); soon(); return; }
  if (act === 'archive' || act === 'unarchive') { trigger('archive', {runs: [run], archived: act === 'archive'}); soon(); return; }
  if (act === 'keep') { place.querySelector('.losing')?.remove(); place.querySelector('[data-do="losing"]')?.focus(); return; }
  if (act === 'losing') {
    const told = await server.losing({runs: [run]}), box = document.createElement('div');
    box.className = 'losing deeds'; box.setAttribute('role', 'alertdialog'); box.setAttribute('aria-label', word('Delete'));
    box.innerHTML = `<p></p>${told.runs.length ? '<button type="button" class="red full" data-do="remove"></button>' : ''}<button type="button" data-do="keep">${word('Keep it')}</button>`;
    box.firstElementChild.textContent = told.words; const red = box.querySelector('.red'); if (red) red.textContent = told.button;
    place.querySelector('.losing')?.remove(); place.append(box); box.querySelector('[data-do="keep"]').focus(); return;
  }
  if (act === 'export' || act === 'unexport') { button.disabled = true; trigger(act, {run, format: button.dataset.format, ...chosenBeside(button)}); soon(); return; }
  if (act === 'remove') place.querySelector('.losing')?.remove();
  if (act) trigger(act, {run, runs: [run]});
});
element.addEventListener('change', e => {
  if (e.target.dataset.of) guanacoKeep(`exports ${shown}`, {values: {...guanacoKept(`exports ${shown}`)?.values, [e.target.dataset.of]: e.target.value}});
  if (e.target.matches('[name="wrong-answers"]')) look();
});
element.addEventListener('input', e => { if (e.target.matches('[name="search-answers"]')) { clearTimeout(typing); typing = setTimeout(() => look(), 180); } });
watch('value', poll.want);
