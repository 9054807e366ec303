// The rows are radio buttons, so the arrow keys go through them. The control of the method is the truth: the table
// shows what stands there, but for the moment in which a row that was just chosen is on its way.
const ON_ITS_WAY = 4000, PAUSE = 200; // ms; who goes through the rows with the arrows chooses the one to stay at
let wished = '', since = 0, soon = 0;
element.addEventListener('change', event => {
  if (!event.target.matches('input[type=radio]')) return;
  wished = event.target.value; since = performance.now();
  clearTimeout(soon);
  soon = setTimeout(() => trigger('choose', {method: wished}), PAUSE);
  setTimeout(show, ON_ITS_WAY + PAUSE);
});
const show = () => {
  const chosen = element.querySelector('[data-chosen]')?.dataset.chosen;
  if (wished && chosen !== wished && performance.now() - since < ON_ITS_WAY) return;
  for (const one of element.querySelectorAll('input[type=radio]')) one.checked = one.value === chosen;
};
// `watch` would hear of a new value before its rows are there.
new MutationObserver(show).observe(element, {childList: true, subtree: true, attributeFilter: ['data-chosen']});
show();
