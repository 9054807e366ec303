// Marks the fields that have a mistake, for eyes and for screen readers, and takes the marks away with the list of
// mistakes. An item of the list leads to its field, on whichever face that is.
const inputOf = field => field && (field.querySelector('input:checked') || field.querySelector('input, textarea, select'));
const unmark = () => document.querySelectorAll('.mistake').forEach(m => m.remove());
const mark = (item, tries) => {
  const field = document.getElementById(item.dataset.field), input = inputOf(field);
  if (!input) { if (tries) setTimeout(() => mark(item, tries - 1), 100); return; }  // its face is just being opened
  const note = document.createElement('p'); note.className = 'mistake'; note.id = item.dataset.field + '-mistake';
  note.textContent = item.querySelector('.text').textContent; field.append(note);
  input.setAttribute('aria-invalid', 'true'); input.setAttribute('aria-describedby', note.id);
  input.addEventListener('input', () => { note.remove(); input.removeAttribute('aria-invalid'); }, {once: true});
};
const all = () => {
  unmark(); document.querySelectorAll('[aria-invalid]').forEach(i => i.removeAttribute('aria-invalid'));
  element.querySelectorAll('[data-field]').forEach(item => mark(item, 30));
  if (element.querySelector('.alert')) element.scrollIntoView({block: 'nearest'});
};
// What cannot be seen itself has a place that stands for it: the button that changes the model, the table of columns.
const INSTEAD = {data: '#columns-table select', settings: '#all-settings input'};
const seen = one => one && one.getClientRects().length > 0 && getComputedStyle(one).visibility === 'visible';
const go = (item, tries) => {
  const input = inputOf(document.getElementById(item.dataset.field));
  const instead = tries < 15 ? document.querySelector(INSTEAD[item.dataset.face] || '#change-model') : null;
  const to = seen(input) ? input : instead;
  if (!seen(to)) { if (tries) setTimeout(() => go(item, tries - 1), 100); return; }
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  to.scrollIntoView({block: 'center', behavior: calm ? 'instant' : 'smooth'}); to.focus({preventScroll: true});
};
element.addEventListener('click', event => {
  const item = event.target.closest('button') && event.target.closest('[data-field]');
  if (!item) return;
  const field = document.getElementById(item.dataset.field), panel = field?.closest('#sections > [role=tabpanel]');
  field?.closest('#all-settings')?.dispatchEvent(new Event('guanaco-all')); // a search may hide it
  if (panel) guanacoSection(panel.id);
  trigger('turn', {field: item.dataset.name}); setTimeout(() => go(item, 30), 100);
});
watch('value', all); all();
