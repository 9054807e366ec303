// Puts the marks of `setting_marks.py` into the fields they belong to, hides the fields that nothing makes use of, and
// opens the section of a field that is asked for. `element`, `trigger` and `watch` come from gr.HTML.
const face = element.closest('#all-settings');
const place = id => { const field = document.getElementById(id); return face.contains(field) ? field : null; };
const MARK = ':scope > .changed-mark';

const put = () => {
  const state = element.querySelector('[data-unused]'), unused = state ? state.dataset.unused.split(' ') : [];
  const marks = new Map([...element.querySelectorAll('[data-of]')].map(one => [one.dataset.of, one]));
  for (const field of face.querySelectorAll('[id^="f-"]')) {
    const isUnused = unused.includes(field.id);
    if (field.classList.contains('unused') !== isUnused) field.classList.toggle('unused', isUnused);
    const wanted = marks.get(field.id), there = field.querySelector(MARK);
    if (there && wanted && there.innerHTML === wanted.innerHTML) continue;
    if (there?.contains(document.activeElement)) field.querySelector('input, textarea')?.focus();
    there?.remove();
    if (!wanted) continue;
    const mark = wanted.cloneNode(true); mark.className = 'changed-mark'; field.append(mark);
  }
  for (const panel of face.querySelectorAll('#sections > [role=tabpanel]')) {
    guanacoSectionCount(panel.id, panel.querySelectorAll('.changed-mark').length);
  }
};

// The section of a field, seen.
const open = id => {
  const field = place(id);
  if (!field) return;
  if (field.matches('.left-out')) face.dispatchEvent(new Event('guanaco-all'));
  if (!face.matches('.searching')) guanacoSection(field.closest('#sections > [role=tabpanel]')?.id);
};
const isMistake = node => node instanceof Element && node.matches('.mistake');

// A method's fields are made when it is chosen. Of mistakes that are all in other sections the first is gone to.
new MutationObserver(changes => {
  put();
  if (!changes.some(change => [...change.addedNodes].some(isMistake))) return;
  const wrong = [...face.querySelectorAll('.mistake')].map(note => note.closest('[id^="f-"]')).filter(Boolean);
  const isSeen = field => !field.closest('.left-out') && guanacoIsOpen(field.closest('#sections > [role=tabpanel]')?.id);
  if (wrong.length && !wrong.some(isSeen)) open(wrong[0].id);
}).observe(face.querySelector('#sections') ?? face, {childList: true, subtree: true});
document.addEventListener('click', event => {  // before whoever goes to the field
  const item = event.target.closest('#alert [data-field]');
  if (item) open(item.dataset.field);
}, true);
face.addEventListener('click', event => {
  const back = event.target.closest('.changed-mark [data-back]');
  if (back) trigger('back', {setting: back.dataset.back});
});
watch('value', put); put();
guanacoMakeSections();
