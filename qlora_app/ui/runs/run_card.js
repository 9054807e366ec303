// Keeps a card up to date: asks the server for what changed, once a second while the run moves and somebody looks at it,
// and not at all otherwise. `element`, `props`, `server`, `trigger` and `watch` come from gr.HTML.
const EVENTS = ['chat', 'stop', 'resume', 'unqueue', 'kill'];
const card = element.querySelector('.card'), bar = card.querySelector('.bar'), log = card.querySelector('.log');
const spoken = card.querySelector('.only-read'), lost = card.querySelector('.lost'), chart = new Chart(card.querySelector('.chart'));
// What stands on the card before anything is asked for.
const standing = document.createTreeWalker(card, NodeFilter.SHOW_TEXT);
while (standing.nextNode()) if (standing.currentNode.data.trim()) standing.currentNode.data = word(standing.currentNode.data.trim());
card.querySelectorAll('[aria-label]').forEach(e => e.setAttribute('aria-label', word(e.getAttribute('aria-label'))));
const part = name => card.querySelector(`[data-part="${name}"]`);
const withOthers = !!element.closest('.run-side');
let seen = {}, wanted = true, live = false, busy = false, shown = null, quickly = 0, said = {state: '', at: 0};

const visible = () => document.visibilityState === 'visible' && element.offsetParent !== null;

async function ask() {
  const run = props.value || '';
  if (run !== shown) { seen = {}; chart.clear(); shown = run; card.dataset.state = 'loading'; }
  busy = true;
  try {
    const news = await server.poll({run, seen, chart: chart.known, log: log.open, others: withOthers});
    if (run === (props.value || '')) { take(news); wanted = false; }
    lost.hidden = true;
  } catch (error) { lost.hidden = false; wanted = true; }
  busy = false;
}

function take(news) {
  for (const [name, html] of Object.entries(news.parts)) { const place = part(name); if (place) swap(place, html); }
  seen = news.seen; live = news.live; card.dataset.state = news.state; card.toggleAttribute('data-live', news.live);
  const done = news.progress == null ? 0 : Math.round(news.progress * 100);
  bar.hidden = news.progress == null; bar.firstElementChild.style.width = done + '%'; bar.setAttribute('aria-valuenow', done);
  if (news.chart) chart.add(news.chart); else chart.draw();
  say(news);
}

// The log stays at its end if it was there.
function swap(place, html) {
  const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 30;
  redraw(place, html);
  if (place.tagName === 'PRE' && atEnd) place.scrollTop = place.scrollHeight;
}

function say(news) {
  const now = Date.now();
  if (!news.say || (news.state === said.state && now - said.at < 30000) || news.say === spoken.textContent) return;
  spoken.textContent = news.say; said = {state: news.state, at: now};
}

let looked = false, turn = 0;
setInterval(() => {
  const look = visible();
  if (look && !looked) wanted = true; // somebody came back: look once, whatever the state was
  looked = look; turn += 1;
  if (quickly > 0) { quickly -= 1; wanted = true; }
  if (look && !busy && (wanted || (live && turn % 2 === 0))) ask();
}, 500);

element.addEventListener('click', e => {
  const button = e.target.closest('button'); if (!button) return;
  if (button.dataset.show) { props.value = button.dataset.show; wanted = true; return; }
  if (!EVENTS.includes(button.dataset.do)) return;
  trigger(button.dataset.do, {run: props.value});
  if (button.dataset.do !== 'chat') { disable(button, part('actions')); quickly = 12; }
});
log.addEventListener('toggle', () => { wanted = true; });
document.addEventListener('visibilitychange', () => { if (visible()) wanted = true; });
watch('value', () => { wanted = true; quickly = 4; });
