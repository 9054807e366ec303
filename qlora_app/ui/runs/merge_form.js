// The form that makes several runs into one: there when it is asked for, checked at each change, sent whole. What was
// typed stands in it again when the page was loaded again.
const mergeForm = () => element.querySelector('.merge-form'), mergeKey = () => `merge ${runs().join()}`;
let mergeLook = 0;
const valuesOf = (form, name) => [...form.querySelectorAll(`[name="${name}"]`)].map(one => one.value);
const howOf = (form, all) => Object.fromEntries([...form.querySelectorAll('[data-how]')].filter(one => all || !one.closest('label').hidden).map(one => [one.name, one.value]));
const mergeAsked = (form, all) => ({runs: runs(), weights: valuesOf(form, 'weight'), how: howOf(form, all), name: valuesOf(form, 'name')[0]});

const keepMerge = (form, open) => guanacoKeep(mergeKey(), {fields: guanacoFields(form), open});
function restoreMerge() {
  const form = mergeForm(), kept = form && guanacoKept(mergeKey()); if (!kept) return;
  guanacoFill(form, kept.fields); openMerge(kept.open);
}
function openMerge(open) {
  const form = mergeForm(); form.hidden = !open; keepMerge(form, open);
  if (open) { lookAtMerge(); form.querySelector('[name="weight"]').focus({preventScroll: true}); form.scrollIntoView({block: 'nearest'}); }
}
async function lookAtMerge() {
  const form = mergeForm(), by = form.querySelector('[name="by"]').value, number = ++mergeLook;
  for (const one of form.querySelectorAll('[data-by]')) one.hidden = !one.dataset.by.split(' ').includes(by);
  const told = await server.merge_check(mergeAsked(form));
  if (number !== mergeLook || form !== mergeForm()) return;
  const problems = {...told.problems};
  for (const place of form.querySelectorAll('[data-problem]')) { place.textContent = problems[place.dataset.problem] || ''; delete problems[place.dataset.problem]; }
  form.querySelector('.others').textContent = Object.values(problems).join(' ');
  form.querySelector('.told').replaceChildren(...told.notes.map(note => Object.assign(document.createElement('p'), {className: 'note', textContent: note})));
  form.querySelector('[type="submit"]').disabled = Object.keys(told.problems).length > 0;
}
element.addEventListener('click', e => {
  if (e.target.closest('[data-do="merging"]')) openMerge(mergeForm().hidden);
  if (e.target.closest('.merge-form [data-close]')) openMerge(false);
});
element.addEventListener('input', e => { const form = e.target.closest('.merge-form'); if (form) { keepMerge(form, true); lookAtMerge(); } });
element.addEventListener('submit', e => {
  const form = e.target.closest('.merge-form'); if (!form) return;
  e.preventDefault(); trigger('merge', mergeAsked(form));
  // It was taken when its card says something new; until then, and where it is refused, what was typed stands there.
  const card = document.getElementById('merge-job'), before = card.textContent;
  const taken = setInterval(() => {
    if (card.textContent === before) return;
    clearInterval(taken); openMerge(false); card.scrollIntoView({block: 'center'});
  }, 300);
  setTimeout(() => clearInterval(taken), 30000);
});
