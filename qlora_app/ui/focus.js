// A button that has the focus loses it where it is disabled or drawn anew, and with it who goes by the keyboard loses
// their place. The part that it stood in has it then: Tab goes on from there, and a second Enter presses nothing else.
function hold(place) { place.tabIndex = -1; place.focus({preventScroll: true}); }

function disable(button, place) {
  const focused = document.activeElement === button;
  button.disabled = true;
  if (focused) hold(place);
}

// Other HTML for a part; the same button keeps the focus.
function redraw(place, html) {
  const active = document.activeElement, within = active !== place && place.contains(active), {do: name, job} = active?.dataset || {};
  place.innerHTML = html;
  if (!within) return;
  const same = name && place.querySelector(`[data-do="${name}"]${job ? `[data-job="${CSS.escape(job)}"]` : ''}:not(:disabled)`);
  if (same) same.focus({preventScroll: true}); else hold(place);
}
