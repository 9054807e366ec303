// What a person typed or chose and has not sent yet, by forms: kept as long as this tab of the browser is open, for whoever
// has logged in. The page is loaded again whenever the app was started again, and then it stands there as before.
const keptUnder = form => `guanaco-kept ${form}`, LONGEST_KEPT = 200000; // letters
let keptFor = ''; // who has logged in; not known before the page has come
function guanacoKeptText(form) { try { return sessionStorage.getItem(keptUnder(form)) || ''; } catch { return ''; } }
function guanacoKept(form) {
  try { const kept = JSON.parse(guanacoKeptText(form)); return kept.who === keptFor ? kept : null; } catch { return null; }
}
function guanacoKeep(form, what) {
  try { sessionStorage.setItem(keptUnder(form), JSON.stringify({...what, who: keptFor})); } catch { /* it lasts as long as the page, then */ }
}
// The page has come: what depends on whose it is may begin.
function guanacoIsReady() { window.guanacoReady = true; dispatchEvent(new Event('guanaco-ready')); }
const guanacoOnceReady = deed => { if (window.guanacoReady) deed(); else addEventListener('guanaco-ready', deed, {once: true}); };
function guanacoForget(form) { try { sessionStorage.removeItem(keptUnder(form)); } catch { /* nothing is kept there */ } }

// ---- forms that are HTML: the values of all fields by their names, in their order, but for secrets and files

const isTicked = box => ['checkbox', 'radio'].includes(box.type);
const keptFields = form => [...form.querySelectorAll('[name]')].filter(box => 'value' in box && !['password', 'file', 'hidden', 'submit', 'button'].includes(box.type));
function guanacoFields(form) {
  const all = {};
  for (const box of keptFields(form)) (all[box.name] ||= []).push(isTicked(box) ? [box.value, box.checked] : box.value);
  return all;
}
function guanacoFill(form, all) {
  const seen = {};
  for (const box of keptFields(form)) {
    const known = all?.[box.name], place = seen[box.name] = (seen[box.name] ?? -1) + 1;
    if (!Array.isArray(known)) continue;
    if (isTicked(box)) box.checked = known.find(one => one?.[0] === box.value)?.[1] ?? box.checked;
    else if (typeof known[place] === 'string' && (!box.options || [...box.options].some(one => one.value === known[place]))) box.value = known[place];
  }
}

// ---- components of Gradio, by the names of their elements: see kept.py

function guanacoKeepPage(names, given) {
  const short = names.map((name, place) => [name, given[place]]).filter(([, value]) => String(value ?? '').length <= LONGEST_KEPT);
  if (window.guanacoReady) guanacoKeep('page', {values: Object.fromEntries(short)});
}
function guanacoStand(names, given, basis) {
  try { keptFor = JSON.parse(basis).who || ''; } catch { /* nobody has */ }
  const values = guanacoKept('page')?.values || {};
  return names.map((name, place) => name in values ? values[name] : given[place]);
}

// A page that has lost its server runs no events: what is typed then is kept by the field it stands in.
addEventListener('input', event => {
  const box = event.target, field = box.closest?.('.keeps');
  if (!window.guanacoReady || !field?.id || box.matches('[role=combobox], [type=password]')) return;
  const number = box.value === '' ? null : Number(box.value), value = {checkbox: box.checked, number}[box.type] ?? box.value;
  guanacoKeep('page', {values: {...guanacoKept('page')?.values, [field.id]: value}});
});
