// The rows are radio buttons, so the arrow keys go through them. The control of the method is the truth: the table
// shows what stands there, but for the moment in which a row that was just chosen is on its way.
const ON_ITS_WAY = 4000, PAUSE = 200; // ms; who goes through the rows with the arrows chooses the one to stay at
let wished = '', since = 0, soon = 0;
const send = () => { if (soon) trigger('choose', {method: wished}); clearTimeout(soon); soon = 0; };
// What is pressed next must not be overtaken by a row that is still waiting for the end of its pause.
document.addEventListener('pointerdown', event => { if (!element.contains(event.target)) send(); }, true);
element.addEventListener('change', event => {
  if (!event.target.matches('input[type=radio]')) return;
  wished = event.target.value; since = performance.now();
  clearTimeout(soon);
  soon = setTimeout(send, PAUSE);
  setTimeout(show, ON_ITS_WAY + PAUSE);
});
const show = () => {
  const chosen = element.querySelector('[data-chosen]')?.dataset.chosen;
  if (wished && chosen !== wished && performance.now() - since < ON_ITS_WAY) return;
  for (const one of element.querySelectorAll('input[type=radio]')) one.checked = one.value === chosen;
};
// Rows that are drawn anew would take the focus with them.
let focused = '';
element.addEventListener('focusin', event => { focused = event.target.value ?? ''; });
element.addEventListener('focusout', ({target}) => setTimeout(() => { if (target.isConnected) focused = ''; }));
const refocus = () => {
  if (!focused || document.activeElement !== document.body) return;
  element.querySelector(`input[value="${focused}"]`)?.focus({preventScroll: true});
};
// `watch` would hear of a new value before its rows are there.
new MutationObserver(() => { show(); refocus(); }).observe(element, {childList: true, subtree: true, attributeFilter: ['data-chosen']});
show();
