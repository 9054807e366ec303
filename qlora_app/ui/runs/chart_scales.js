// Where values stand on an axis, and which are written beside it. Nothing here touches the page.

// Round values from below `low` to above `high`, about `most` of them.
function ticks(low, high, most) {
  const span = (high - low) || Math.abs(low) || 1, rough = span / most, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= rough * 0.999999), out = [];
  for (let t = Math.floor(low / step) * step; t < high + step; t += step) { out.push(+t.toPrecision(6)); if (t >= high) break; }
  return out;
}

// The same for an axis of powers: 1, 2 and 5 of each where few powers are seen, else the powers alone.
function logTicks(low, high) {
  const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high)), every = Math.ceil((last - first) / 6);
  const marks = last - first <= 2 ? [1, 2, 5] : [1], all = [];
  for (let power = first; power <= last; power += every) for (const m of marks) all.push(+(m * 10 ** power).toPrecision(6));
  const below = all.filter(t => t <= low).at(-1) ?? all[0], above = all.find(t => t >= high) ?? all.at(-1);
  return all.filter(t => t >= below && t <= above);
}

// A function from a value to its place between `start` and `end`, evenly or by powers.
function scale(low, high, start, end, isLog = false) {
  const at = isLog ? Math.log10 : v => v, from = at(low), span = (at(high) - from) || 1;
  return v => start + (at(Math.max(v, isLog ? low : -Infinity)) - from) / span * (end - start);
}

// The lowest and the highest of several lists; of those above zero only, where an axis of powers is wanted.
function extent(lists, isLog = false) {
  let low = Infinity, high = -Infinity;
  for (const list of lists) for (const v of list) { if (isLog && v <= 0) continue; if (v < low) low = v; if (v > high) high = v; }
  return low === Infinity ? null : [low, high];
}

// The index of the value nearest to x.
function nearest(values, x) { let best = 0; values.forEach((v, i) => { if (Math.abs(v - x) < Math.abs(values[best] - x)) best = i; }); return best; }
