// The bar: asks what runs and how the machine is, every two seconds while something moves and somebody looks, each
// second while the drawer is open, and hardly ever otherwise. `element`, `server` and `trigger` come from gr.HTML.
const HIDDEN = 15000; // ms between questions of a tab that nobody sees and that is to notify
const AT_REST = 30000, MOVING = 2000, OPEN = 1000; // ms between questions
const SOON = [700, 2500, 6000]; // ms after a click: it may have begun something
const EVENTS = ['stop', 'kill', 'resume', 'dismiss', 'tidy', 'examine', 'now'];
const LOOKS = {system: 'Colours: as the system', light: 'Colours: light', dark: 'Colours: dark'};
const part = name => element.querySelector(`[data-part="${name}"]`);
const drawer = element.querySelector('[data-dialog=drawer]');
let seen = {}, live = false, opener = null;

document.getElementById('opening')?.remove();
const ended = guanacoEnded({element, word, show: run => { drawer.close(); trigger('open', {run}); }});
speak(element);

async function ask() {
  take(await server.poll({seen, open: drawer.open, watched: ended.watched()}));
}

function take(news) {
  for (const [name, html] of Object.entries(news.parts)) if (!show(name, html)) delete news.seen[name];
  Object.assign(seen, news.seen); live = news.live;
  guanacoCount('runs', news.runs);
  ended.take(news);
}

// A button that has the focus keeps it.
function show(name, html) {
  const place = part(name); if (!place) return true;
  if (place.querySelector('.dragged')) return false;
  const at = place.contains(document.activeElement) ? document.activeElement.dataset : {};
  place.innerHTML = html;
  if (place.tagName === 'BUTTON') place.hidden = !html;
  if (at.do) place.querySelector(`[data-do="${at.do}"]${at.job ? `[data-job="${CSS.escape(at.job)}"]` : ''}`)?.focus();
  return true;
}
movable(element, moved => { trigger('move', moved); soon(); });

const isVisible = () => document.visibilityState === 'visible';
const every = () => !isVisible() ? HIDDEN : drawer.open ? OPEN : live ? MOVING : AT_REST;
const isSeen = () => isVisible() || (live && ended.isOn());
const isGone = gone => element.toggleAttribute('data-gone', gone); // grey, like the card of the run, which says why
const poll = guanacoPoll({place: element, ask, every, isSeen, isGone});
const soon = () => poll.soon(...SOON);
document.addEventListener('click', event => { if (event.target.closest('#start, [data-do], [data-starts]')) soon(); });

// ---- dialogs: the browser keeps the focus inside and closes on Escape; a click beside one closes it too

function open(name, from) {
  opener = from;
  const dialog = element.querySelector(`[data-dialog="${name}"]`);
  dialog.showModal();
  poll.want();
}
element.querySelectorAll('dialog').forEach(dialog => {
  dialog.addEventListener('click', event => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener('close', () => { (opener && !opener.hidden ? opener : element.querySelector('[data-open]:not([hidden])')).focus(); });
});

// ---- light and dark

const look = element.querySelector('[data-theme]');
function showLook() {
  const chosen = guanacoLook.chosen();
  look.querySelectorAll('[data-icon]').forEach(icon => { icon.hidden = icon.dataset.icon !== chosen; });
  look.setAttribute('aria-label', word(LOOKS[chosen])); look.title = word(LOOKS[chosen]);
}
showLook();

element.addEventListener('click', event => {
  const button = event.target.closest('button'); if (!button) return;
  if (button.dataset.open) open(button.dataset.open, button);
  else if ('close' in button.dataset) button.closest('dialog').close();
  else if ('theme' in button.dataset) { guanacoLook.choose(guanacoLook.next(guanacoLook.chosen())); showLook(); }
  else if (EVENTS.includes(button.dataset.do)) { trigger(button.dataset.do, {job: button.dataset.job}); button.disabled = true; soon(); }
});
