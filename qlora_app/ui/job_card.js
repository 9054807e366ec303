// Asks how a job stands, once a second while it moves and somebody looks, and shows what changed. `element`, `props`,
// `server`, `trigger` and `watch` come from gr.HTML.
const NO_ANSWER = 2000; // ms until it asks again an app that did not answer
const EVENTS = ['stop', 'resume', 'kill', 'dismiss', 'done', 'failed'];
const place = element.querySelector('.job');
let seen = 0, wanted = true, live = false, busy = false, shown = '', quickly = 0, rest = 0, told = '';

async function ask() {
  const job = props.value || '';
  if (job !== shown) { seen = 0; live = false; shown = job; told = ''; place.innerHTML = ''; }
  if (!job) { wanted = false; return; }
  busy = true;
  try {
    const news = await server.poll({job, seen});
    if (job === (props.value || '')) take(job, news);
  } catch (error) { wanted = true; rest = performance.now() + NO_ANSWER; }
  busy = false;
}

function take(job, news) {
  if (news.html != null) redraw(place, news.html);
  seen = news.seen; live = news.live; wanted = false;
  if (news.live) told = '';  // it was begun again, and will have another end
  if (['done', 'failed'].includes(news.state) && told !== job) { told = job; trigger(news.state, {job}); }
}

const visible = () => document.visibilityState === 'visible' && element.offsetParent !== null;
let turn = 0;
setInterval(() => {
  turn += 1;
  if (quickly > 0) { quickly -= 1; wanted = true; }
  if (!busy && performance.now() >= rest && (wanted || (live && visible() && turn % 2 === 0))) ask();
}, 500);

element.addEventListener('click', e => {
  const button = e.target.closest('button[data-do]'); if (!button) return;
  if (!EVENTS.includes(button.dataset.do)) return;
  trigger(button.dataset.do, {job: props.value});
  disable(button, place); quickly = 6;
});
document.addEventListener('visibilitychange', () => { if (visible()) wanted = true; });
watch('value', () => { wanted = true; quickly = 4; });
