// The form as it stands, which the server gives back to whoever it is of: see form_kept.py and ../kept.js.
function guanacoKeptForm() { return guanacoKeptText('train'); }

// names: of what an event is given, in that order.
function guanacoKeepForm(names, given) {
  const all = Object.fromEntries(names.map((name, place) => [name, given[place]])), {' suggested': basis, ' effort': effort, ...values} = all;
  guanacoKeep('train', {basis, effort, values});
  return given;
}

// A page that has lost its server runs no events: what is typed then is kept by the field it stands in.
addEventListener('input', event => {
  const field = event.target.closest?.('[id^="f-"]'), box = event.target;
  if (!field || box.matches('[role=combobox]')) return;
  let kept = {};
  try { kept = JSON.parse(guanacoKeptForm()); } catch { /* nothing was kept yet */ }
  const typed = {...kept.typed, [field.id]: box.type === 'checkbox' ? box.checked : box.value};
  guanacoKeep('train', {basis: document.querySelector('#suggested-for textarea, #suggested-for input')?.value, ...kept, typed});
});
