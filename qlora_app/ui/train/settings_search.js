// The search above the settings: what is typed decides which fields of all sections are seen. `element` comes from
// gr.HTML.

// A text in small letters and without accents.
function folded(text) {
  return text.toLowerCase().normalize('NFD').replace(/\p{M}/gu, '');
}

// "max_steps" -> "maxsteps"
function bare(word) {
  return word.replace(/[^\p{L}\p{N}]+/gu, '');
}

// Every word of a text as it is written, its parts, and it without what stands between them.
function wordsIn(text) {
  const written = folded(text).split(/\s+/);
  return written.flatMap(word => [word, ...word.split(/[^\p{L}\p{N}]+/u), bare(word)]).filter(Boolean);
}

// Does a text have every word that was typed? Two letters have to begin a word, more may stand inside of one.
function isFound(text, typed) {
  const words = wordsIn(text), asked = folded(typed).split(/\s+/).filter(Boolean);
  const has = one => words.some(word => word.startsWith(one) || (one.length > 2 && word.includes(one)));
  return asked.every(one => has(one) || (bare(one) !== '' && has(bare(one))));
}

if (typeof element === 'undefined') {
  module.exports = {folded, wordsIn, isFound};
} else {
  const face = element.closest('#all-settings'), box = element.querySelector('input');
  const said = element.querySelector('[role=status]'), texts = element.querySelectorAll('i');
  let index = null;

  const tell = text => { if (said.textContent !== text) said.textContent = text; };
  const show = () => {
    index ??= JSON.parse(face.querySelector('[data-index]').dataset.index);
    const typed = box.value.trim();
    face.classList.toggle('searching', typed !== '');
    const panels = [...face.querySelectorAll('#sections > [role=tabpanel]')];
    const fields = Object.keys(index).map(id => document.getElementById(id)).filter(one => one && face.contains(one));
    for (const field of fields) {
      const found = typed === '' || isFound(`${field.textContent} ${index[field.id]}`, typed);
      field.classList.toggle('left-out', !found);
    }
    const seen = fields.filter(field => !field.matches('.left-out, .unused'));
    for (const panel of panels) panel.classList.toggle('left-out', !seen.some(field => panel.contains(field)));
    if (typed === '') tell('');
    else if (seen.length === 0) tell(texts[2].textContent);
    else if (seen.length === 1) tell(texts[0].textContent);
    else tell(`${seen.length} ${texts[1].textContent}`);
  };
  const clear = () => { box.value = ''; show(); };

  box.addEventListener('input', show);
  box.addEventListener('keydown', event => { if (event.key === 'Escape') clear(); });
  // Another method brings other fields, and a mark a word more.
  new MutationObserver(() => { if (box.value.trim()) show(); })
    .observe(face, {childList: true, subtree: true});
  face.addEventListener('guanaco-all', clear);
}
