// The tab's title while runs are trained and when one has ended, and the browser's own notification of that, which only
// a click asks for. `guanacoTitle` touches nothing of the page.
const ENDED = {done: 'Finished', stopped: 'Stopped', failed: 'Failed', interrupted: 'Interrupted'};
const MOST_WATCHED = 20;

// training: [{run, name, share: from 0 to 1, or null}]; ended: those nobody has seen yet, [{run, name, state}]
function guanacoTitle(training, ended, name) {
  const more = list => list.length > 1 ? ` +${list.length - 1}` : '';
  const last = ended[ended.length - 1], mark = last ? (last.state === 'done' ? '✓ ' : '✕ ') : '';
  if (!training.length) return last ? mark + last.name + more(ended) : name;
  const {share, name: first} = training[0];
  return `${mark}${share === null ? '' : `${Math.floor(100 * share)} % · `}${first}${more(training)}`;
}

// page: {element, word, show(run)}; what is returned: {watched(), take(news), isOn()}
function guanacoEnded({element, word, show}) {
  const KEY = 'guanaco-notify', name = document.title;
  const box = element.querySelector('[data-notify]'), refused = element.querySelector('[data-notify-refused]');
  const can = box && 'Notification' in window;
  let training = [], unseen = [], watched = [];

  const remembered = () => { try { return localStorage.getItem(KEY) === 'on'; } catch { return false; } };
  const isOn = () => Boolean(can && box.checked && Notification.permission === 'granted');
  const remember = on => { try { localStorage.setItem(KEY, on ? 'on' : 'off'); } catch { /* it lasts as long as the page, then */ } };
  // A tab that nobody looks at and that does not ask says no figure that grows old.
  const retitle = () => {
    const known = document.visibilityState === 'visible' || isOn() ? training : [];
    document.title = guanacoTitle(known, unseen, name);
  };

  function notify(run) {
    try {
      const shown = new Notification(`${run.name}: ${word(ENDED[run.state] || run.state)}`, {body: run.said, tag: run.run});
      shown.onclick = () => { window.focus(); show(run.run); shown.close(); };
    } catch { /* some phones let only service workers notify: the title says it */ }
  }

  function take(news) {
    training = news.training || [];
    for (const run of news.ended || []) {
      watched = watched.filter(one => one !== run.run);
      unseen.push(run);
      if (isOn()) notify(run);
    }
    const moving = [...(news.waiting || []), ...training.map(one => one.run)];
    watched = [...watched.filter(one => !moving.includes(one)), ...moving].slice(-MOST_WATCHED);
    retitle();
  }

  async function chosen() {
    refused.hidden = true;
    if (box.checked && Notification.permission !== 'granted') box.checked = await Notification.requestPermission() === 'granted';
    else if (!box.checked) return remember(false);
    refused.hidden = box.checked;
    remember(box.checked);
  }

  if (box) {
    box.closest('label').hidden = !can;
    box.checked = Boolean(can && remembered() && Notification.permission === 'granted');
    box.addEventListener('change', chosen);
  }
  const seen = () => { if (unseen.length) { unseen = []; retitle(); } };
  for (const deed of ['pointerdown', 'keydown']) document.addEventListener(deed, seen);
  document.addEventListener('visibilitychange', retitle);
  return {take, isOn, watched: () => watched};
}
