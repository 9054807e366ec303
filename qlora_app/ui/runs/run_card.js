// Keeps a card up to date: asks the server for what changed, once a second while the run moves and somebody looks at it,
// and not at all otherwise. `element`, `props`, `server`, `trigger` and `watch` come from gr.HTML.
const EVENTS = ['chat', 'stop', 'leave', 'discard', 'resume', 'unqueue', 'kill', 'again', 'repeat'];
const FACES = ['test', 'use']; // of a run's own page
const SHORTLY = [500, 1000, 2000]; // ms after something was wished for
const card = element.querySelector('.card'), bar = card.querySelector('.bar'), log = card.querySelector('.log');
const spoken = card.querySelector('.only-read'), lost = card.querySelector('.lost'), sure = card.querySelector('.confirm-discard');
let at = null; // the step whose answers are looked at
const chart = new Chart(card.querySelector('.chart'), () => poll.want(), choose);
speak(card);
const again = new AgainForm(card.querySelector('.again'), () => props.value, (event, more) => trigger(event, {run: props.value, ...more}));
const askBox = new AskBox(card.querySelector('.ask-box'), async question => {
  const {refused} = await server.ask({run: props.value, question});
  poll.soon(...SHORTLY); return refused;
});
const part = name => card.querySelector(`[data-part="${name}"]`);
const withOthers = !!element.closest('#live');
let seen = {}, live = false, shown = null, said = {state: '', at: 0}, answeredAt = null;

async function ask() {
  const run = props.value || '';
  if (run !== shown) { again.close(false); askBox.clear(); seen = {}; at = null; chart.clear(); sure.hidden = true; shown = run; card.dataset.state = 'loading'; }
  const news = await server.poll({run, seen, chart: chart.known, log: log.open, others: withOthers, at});
  if (run === (props.value || '')) take(news);
  answeredAt = new Date();
}

function take(news) {
  if (news.next) { props.value = news.next; poll.want(); return; }
  for (const [name, html] of Object.entries(news.parts)) { const place = part(name); if (place && !swap(place, html)) delete news.seen[name]; }
  seen = news.seen; live = news.live; card.dataset.state = news.state; card.toggleAttribute('data-live', news.live);
  const done = news.progress == null ? 0 : Math.round(news.progress * 100);
  bar.hidden = news.progress == null; bar.firstElementChild.style.width = done + '%'; bar.setAttribute('aria-valuenow', done);
  if (!news.live) sure.hidden = true;
  askBox.show(news.asks); askBox.arrived();
  if (news.chart) chart.add(news.chart); else chart.draw();
  say(news);
}

// The app does not answer: the head says so, and since when; figures are no longer those of now.
function isGone(gone) {
  if (gone === !lost.hidden) return;
  lost.hidden = !gone; card.toggleAttribute('data-lost', gone);
  const when = answeredAt && answeredAt.toLocaleTimeString(LANGUAGE, {hour: '2-digit', minute: '2-digit'});
  const words = when ? 'No answer from the app, last figures from {when}. Training goes on without it; this page keeps asking.'
    : 'No answer from the app. Training goes on without it; this page keeps asking.';
  lost.textContent = word(words, {when});
}

// The log stays at its end if it was there, what is unfolded stays so, and what is being written is not taken away.
function swap(place, html) {
  if (place.querySelector('input, .dragged')) return false;
  const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 30, opened = [...place.querySelectorAll('details')].map(one => one.open);
  const step = place.contains(document.activeElement) && document.activeElement.dataset.at;
  redraw(place, html);
  place.querySelectorAll('details').forEach((one, i) => { one.open = opened[i] || false; });
  if (place.tagName === 'PRE' && atEnd) place.scrollTop = place.scrollHeight;
  if (step) place.querySelector(`[data-at="${step}"]`)?.focus();
  return true;
}

function say(news) {
  const now = Date.now();
  if (!news.say || (news.state === said.state && now - said.at < 30000) || news.say === spoken.textContent) return;
  spoken.textContent = news.say; said = {state: news.state, at: now};
}

function choose(step) { at = at === step ? null : step; chart.show(at); poll.want(); }

// The name becomes a field: Enter keeps it, Escape does not.
function rename(button) {
  const name = button.parentElement.querySelector('.what'), field = document.createElement('input');
  field.className = 'new-name'; field.maxLength = 80; field.value = name.textContent; field.setAttribute('aria-label', word('Name'));
  let ended = false; // taking the field away is a blur too
  const end = keep => {
    if (ended) return;
    ended = true;
    const given = field.value.trim(); field.replaceWith(name);
    if (keep && given !== name.textContent) { name.textContent = given || name.textContent; trigger('rename', {run: props.value, name: given}); poll.soon(...SHORTLY); }
    button.focus();
  };
  field.addEventListener('keydown', e => { if (e.key === 'Enter') { e.preventDefault(); end(true); } if (e.key === 'Escape') end(false); e.stopPropagation(); });
  field.addEventListener('blur', () => end(true));
  name.replaceWith(field); field.select(); field.focus();
}

movable(card, moved => { trigger('move', moved); poll.soon(...SHORTLY); });

// Until the page has said which run it is, the skeleton stays.
const isSeen = () => isOnScreen(element) && props.value != null;
const poll = guanacoPoll({place: element, ask, every: () => live ? 1000 : Infinity, isSeen, isGone});

element.addEventListener('click', e => {
  const button = e.target.closest('button'); if (!button) return;
  const {show, do: event, at: step, run} = button.dataset;
  if (button.classList.contains('save-log')) return saveLog();
  if (show) { props.value = show; poll.want(); return; }
  if (step) return choose(+step);
  if (event === 'rename') return rename(button);
  if (event === 'ask-discard' || event === 'keep') { sure.hidden = event === 'keep'; (sure.hidden ? part('actions') : sure).querySelector('button:last-of-type')?.focus(); return; }
  const form = event === 'again' && !button.dataset.finding && part('actions').querySelector('[data-again]');
  if (form) return again.open(form, button);
  if (event === 'open') return trigger('open', {run});
  if (FACES.includes(event)) return trigger('open', {run: props.value, face: event});
  if (!EVENTS.includes(event)) return;
  trigger(event, {run: run || props.value, finding: button.dataset.finding});
  if (event === 'discard' || event === 'leave') sure.hidden = true;
  if (event === 'chat' || event === 'again') return;
  if (event === 'discard' || event === 'leave') hold(part('actions')); else disable(button, button.closest('[data-part]'));
  poll.soon(...SHORTLY, 3000, 4000, 6000);
});

// What is shown of the log, as a file.
function saveLog() {
  const link = Object.assign(document.createElement('a'), {href: URL.createObjectURL(new Blob([part('log').textContent], {type: 'text/plain'})), download: `${props.value}-log.txt`});
  link.click(); setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
log.addEventListener('toggle', poll.want);
watch('value', () => poll.soon(0, ...SHORTLY));
