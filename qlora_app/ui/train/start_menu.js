// The menu beside Start: arrows go through it, Escape and a click elsewhere close it, the focus goes back to its button.
// `element` and `trigger` come from gr.HTML.
const button = element.querySelector('[aria-haspopup]'), menu = element.querySelector('[role=menu]');
const said = element.querySelector('[role=status]'), items = [...menu.querySelectorAll('[role=menuitem]')];

function open(at) {
  menu.hidden = false; button.setAttribute('aria-expanded', 'true');
  items.at(at)?.focus();
}
function close(isBack) {
  if (menu.hidden) return;
  menu.hidden = true; button.setAttribute('aria-expanded', 'false');
  if (isBack) button.focus();
}

button.addEventListener('click', () => (menu.hidden ? open(0) : close(true)));
button.addEventListener('keydown', e => {
  if (!['ArrowDown', 'ArrowUp'].includes(e.key)) return;
  e.preventDefault(); open(e.key === 'ArrowDown' ? 0 : -1);
});
menu.addEventListener('keydown', e => {
  const at = items.indexOf(document.activeElement), count = items.length;
  const to = {ArrowDown: (at + 1) % count, ArrowUp: (at - 1 + count) % count, Home: 0, End: count - 1}[e.key];
  if (to !== undefined) { e.preventDefault(); items[to].focus(); }
  if (e.key === 'Escape') { e.preventDefault(); e.stopPropagation(); close(true); }
});
menu.addEventListener('focusout', e => { if (e.relatedTarget && !element.contains(e.relatedTarget)) close(false); });
document.addEventListener('pointerdown', e => { if (!element.contains(e.target)) close(false); });
menu.addEventListener('click', e => {
  const item = e.target.closest('[role=menuitem]');
  if (!item) return;
  said.textContent = '';
  close(item.dataset.do !== 'several');
  if (item.dataset.do === 'now') trigger('now', {});
  if (item.dataset.do === 'measure') trigger('measure', {});
  if (item.dataset.do === 'several') trigger('several', {});
  if (item.dataset.do === 'copy') trigger('copy', {});
  if (item.dataset.do === 'keep') trigger('keep', {});
});
