// The form as it stands, kept as long as this tab of the browser is open: the page is loaded again whenever the app was
// started again, and then it stands there as before. The server gives it back to whoever it is of, see form_kept.py.
const FORM_KEPT = 'guanaco-form';
function guanacoKeptForm() { try { return sessionStorage.getItem(FORM_KEPT) || ''; } catch { return ''; } }
function guanacoWriteForm(form) {
  try { sessionStorage.setItem(FORM_KEPT, JSON.stringify(form)); } catch { /* it lasts as long as the page, then */ }
}

// names: of what an event is given, in that order.
function guanacoKeepForm(names, given) {
  const all = Object.fromEntries(names.map((name, place) => [name, given[place]])), {' suggested': basis, ' effort': effort, ...values} = all;
  guanacoWriteForm({basis, effort, values});
  return given;
}

// A page that has lost its server runs no events: what is typed then is kept by the field it stands in.
addEventListener('input', event => {
  const field = event.target.closest?.('[id^="f-"]'), box = event.target;
  if (!field || box.matches('[role=combobox]')) return;
  let kept = {};
  try { kept = JSON.parse(guanacoKeptForm()); } catch { /* nothing was kept yet */ }
  const typed = {...kept.typed, [field.id]: box.type === 'checkbox' ? box.checked : box.value};
  guanacoWriteForm({basis: document.querySelector('#suggested-for textarea, #suggested-for input')?.value, ...kept, typed});
});
