// A curve made calmer or shorter. Nothing here touches the page.

// A centred mean: an exponential one lags visibly above a falling curve. `strength` from 0, which changes nothing, to 10.
function smoothed(values, strength) {
  const half = strength > 0 ? Math.max(1, Math.round(values.length * strength / 160)) : 0, sums = [0];
  if (!half) return values.slice();
  for (const v of values) sums.push(sums.at(-1) + v);
  return values.map((_, i) => { const h = Math.min(half, i, values.length - 1 - i); return (sums[i + h + 1] - sums[i - h]) / (2 * h + 1); });
}

// About `most` indices of `count`, evenly spread, the last among them.
function thinned(count, most) {
  const every = Math.max(1, Math.ceil(count / most)), out = [];
  for (let i = 0; i < count; i += every) out.push(i);
  if (count && out.at(-1) !== count - 1) out.push(count - 1);
  return out;
}
