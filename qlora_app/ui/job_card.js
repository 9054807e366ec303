// Asks how a job stands, once a second while it moves and somebody looks, and shows what changed. `element`, `props`,
// `server`, `trigger` and `watch` come from gr.HTML.
const EVENTS = ['stop', 'resume', 'kill', 'dismiss', 'done', 'failed'];
const place = element.querySelector('.job');
let seen = 0, live = false, shown = '', told = '';

async function ask() {
  const job = props.value || '';
  if (job !== shown) { seen = 0; live = false; shown = job; told = ''; place.innerHTML = ''; }
  if (!job) { live = false; return; }
  const news = await server.poll({job, seen});
  if (job === (props.value || '')) take(job, news);
}

function take(job, news) {
  if (news.html != null) redraw(place, news.html);
  seen = news.seen; live = news.live;
  if (news.live) told = '';  // it was begun again, and will have another end
  if (['done', 'failed'].includes(news.state) && told !== job) { told = job; trigger(news.state, {job}); }
}

// An empty card has no box, so what it stands in says whether somebody looks.
const poll = guanacoPoll({place: element.closest('.block')?.parentElement || element, ask, every: () => live ? 1000 : Infinity});

element.addEventListener('click', e => {
  const button = e.target.closest('button[data-do]'); if (!button) return;
  if (!EVENTS.includes(button.dataset.do)) return;
  trigger(button.dataset.do, {job: props.value});
  disable(button, place); poll.soon(500, 1000, 2000, 3000);
});
watch('value', () => poll.soon(0, 500, 1000, 2000));
