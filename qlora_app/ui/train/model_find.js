// The search above the list of models: what is typed and which chip is pressed decides which rows are seen; arrows walk
// through them. `element` and `trigger` come from gr.HTML.

// Is a row seen? Every typed word must be in it; `chip` is "" for all.
function isSeen(row, typed, chip) {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  return (!chip || row.kind === chip) && words.every(word => row.words.includes(word));
}

// Is it a folder or the id of a repository, to be taken as it is?
function isPlace(typed) {
  return /^[\w.-]+\/[\w.-]+$/.test(typed) || /^([/~.]|[A-Za-z]:[\\/])/.test(typed);
}

// The place in a list of `count` that a key leads to from `at`, -1 being the search box above it.
function nextPlace(key, at, count) {
  if (key === 'ArrowDown') return Math.min(count - 1, at + 1);
  if (key === 'ArrowUp') return Math.max(-1, at - 1);
  if (key === 'Home' && at >= 0) return 0;
  if (key === 'End' && at >= 0) return count - 1;
  return null;
}

if (typeof element === 'undefined') {
  module.exports = {isSeen, isPlace, nextPlace};
} else {
  const face = element.closest('#models'), box = element.querySelector('input');
  const chips = [...element.querySelectorAll('[data-chip]')];
  const part = name => element.querySelector(name);
  const rows = () => [...face.querySelectorAll('#model-list li')];
  const buttons = () => [...face.querySelectorAll('[data-row]')].filter(one => one.offsetParent);
  let searched = null;

  const show = () => {
    const typed = box.value.trim(), pressed = chips.find(one => one.ariaPressed === 'true');
    const chip = pressed ? pressed.dataset.chip : '';
    let count = 0;
    for (const row of rows()) {
      row.hidden = !isSeen(row.dataset, typed, chip);
      if (!row.hidden) count += 1;
    }
    for (const group of face.querySelectorAll('#model-list section')) {
      group.hidden = !group.querySelector('li:not([hidden])');
    }
    part('.typed').hidden = !isPlace(typed);
    part('.ask').hidden = !typed || typed === searched;
    part('.none').hidden = !typed || count > 0;
    for (const one of element.querySelectorAll('p b')) if (one.textContent !== typed) one.textContent = typed;
    const hits = face.querySelector('#model-hits');
    if (hits) hits.style.display = searched !== null && typed === searched ? '' : 'none';
  };
  const search = () => { searched = box.value.trim(); show(); trigger('search', {words: searched}); };

  box.addEventListener('input', show);
  // The list is made anew when the face is opened. What `show` itself writes stands outside of it.
  const list = face.querySelector('#model-list');
  if (list) new MutationObserver(show).observe(list, {childList: true, subtree: true});
  face.addEventListener('click', event => {
    const one = event.target.closest('button');
    if (!one) return;
    if (one.dataset.row) trigger('take', {row: one.dataset.row});
    if ('back' in one.dataset) trigger('back', {});
    if ('typed' in one.dataset) trigger('take', {row: 'model:' + box.value.trim()});
    if ('search' in one.dataset) search();
    if (one.dataset.chip) {
      const was = one.ariaPressed === 'true';
      for (const other of chips) other.ariaPressed = 'false';
      one.ariaPressed = String(!was);
      show();
    }
  });
  face.addEventListener('keydown', event => {
    if (event.key === 'Escape') { event.preventDefault(); trigger('back', {}); return; }
    const all = buttons(), at = all.indexOf(document.activeElement);
    if (event.target === box && event.key === 'Enter') {
      if (!part('.typed').hidden) trigger('take', {row: 'model:' + box.value.trim()});
      else if (box.value.trim() && !all.length) search();
      else if (box.value.trim()) all[0].focus();
      return;
    }
    if (event.target !== box && at < 0) return;
    const next = nextPlace(event.key, at, all.length);
    if (next === null) return;
    event.preventDefault();
    (next < 0 ? box : all[next]).focus();
  });
  show();
}
