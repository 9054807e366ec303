// The picture of a curve as SVG, made of numbers alone: what is drawn, and where each step and value stands.

const NAMES = {
  loss: {name: word('Training loss'), short: word('training loss'), write: v => lossFigure(v), axis: (v, d) => figure(v, d)},
  learning_rate: {name: word('Learning rate'), short: word('learning rate'), write: powerFigure, axis: powerFigure},
  grad_norm: {name: word('Gradient norm'), short: word('gradient norm'), write: v => figure(v, 2), axis: (v, d) => figure(v, d)},
  memory_mb: {name: word('Memory'), short: word('memory'), write: v => figure(v / 1024, 2) + ' GB', axis: v => figure(v / 1024, 1)},
  rewards_margins: {name: word('Margin of the rewards'), short: word('margin'), write: v => figure(v, 2), axis: (v, d) => figure(v, d)},
  rewards_accuracies: {name: word('Share preferred'), short: word('share preferred'), write: v => figure(100 * v) + ' %', axis: v => figure(100 * v) + ' %'},
  rewards_chosen: {name: word('Reward of the chosen answer'), short: word('reward'), write: v => figure(v, 2), axis: (v, d) => figure(v, d)},
  rewards_rejected: {name: word('Reward of the rejected answer'), short: word('reward'), write: v => figure(v, 2), axis: (v, d) => figure(v, d)},
  tokens_per_second: {name: word('Tokens/s'), short: word('tokens/s'), write: v => figure(v), axis: v => figure(v)},
};

// {inside, X, Y} of a curve: `data` as a Chart has it, `smooth` its calmer values, `box` the size in pixels.
function drawing(data, smooth, box, isLog) {
  const {width, height, left, right, top, bottom} = box, held = data.heldOut.map(p => p.loss);
  const seen = extent([data.low, data.high, held], isLog) || [0, 1];
  const marks = isLog ? logTicks(...seen) : ticks(...seen, 4), [y0, y1] = [marks[0], marks.at(-1)];
  const X = scale(0, data.total, left, width - right), Y = scale(y0, y1, height - bottom, top, isLog);
  const xy = (x, y) => X(x).toFixed(1) + ' ' + Y(y).toFixed(1), lines = [];
  const digits = isLog || y1 - y0 < 0.5 ? 2 : 1, {axis} = NAMES[data.series];
  for (const t of marks) lines.push(`<line class="grid" x1="${left}" x2="${width - right}" y1="${Y(t)}" y2="${Y(t)}"/><text x="${left - 8}" y="${Y(t) + 4}" text-anchor="end">${axis(t, digits)}</text>`);
  for (const t of ticks(0, data.total, width < 480 ? 3 : 6)) if (X(t) < width - right - 64) lines.push(`<text x="${X(t)}" y="${height - 9}" text-anchor="middle">${figure(t)}</text>`);
  lines.push(`<text x="${width - right}" y="${height - 9}" text-anchor="end">${word('{n} steps', {n: figure(data.total)})}</text>`);
  lines.push(happened(data, X, top, height - bottom));
  const there = data.x.map((x, i) => xy(x, data.high[i])), back = data.x.map((x, i) => xy(x, data.low[i])).reverse();
  if (data.x.length > 1) lines.push(`<path class="band" d="M${there.concat(back).join('L')}z"/><path class="raw" d="M${data.x.map((x, i) => xy(x, data.y[i])).join('L')}"/>`);
  lines.push(`<path class="smooth" d="M${data.x.map((x, i) => xy(x, smooth[i])).join('L')}"/>`);
  if (held.length > 1) lines.push(`<path class="held" d="M${data.heldOut.map(p => xy(p.step, p.loss)).join('L')}"/>`);
  for (const p of data.heldOut) lines.push(`<path class="diamond" d="M${X(p.step)} ${Y(p.loss) - 5}l5 5l-5 5l-5-5z"/>`);
  lines.push(`<circle class="end" r="3.5" cx="${X(data.x.at(-1))}" cy="${Y(smooth.at(-1))}"/><line class="cursor" y1="${top}" y2="${height - bottom}" x1="-9" x2="-9"/>`);
  return {inside: lines.join(''), X, Y};
}

// Marks on the time axis: answers (which can be clicked), checkpoints, and the step that is kept.
function happened(data, X, top, foot) {
  const {samples, asked, checkpoints, kept} = data.marks, lines = [];
  if (data.chosen !== null) lines.push(`<line class="pin" x1="${X(data.chosen)}" x2="${X(data.chosen)}" y1="${top}" y2="${foot}"/>`);
  for (const step of asked) lines.push(`<g class="asked-mark${step === data.chosen ? ' chosen' : ''}" data-step="${step}"><title>${word('Your question at step {n}', {n: figure(step)})}</title><rect x="${X(step) - 7}" y="${top - 8}" width="14" height="16"/><circle cx="${X(step)}" cy="${top}" r="4.5"/></g>`);
  for (const step of samples) lines.push(`<g class="sample-mark${step === data.chosen ? ' chosen' : ''}" data-step="${step}"><title>${word('Answers at step {n}', {n: figure(step)})}</title><rect x="${X(step) - 7}" y="${foot - 12}" width="14" height="18"/><path d="M${X(step)} ${foot - 7}l5 8h-10z"/></g>`);
  for (const step of checkpoints) lines.push(`<rect class="saved" x="${X(step) - 2.5}" y="${foot - 2.5}" width="5" height="5"/>`);
  if (kept != null) lines.push(`<line class="kept" x1="${X(kept)}" x2="${X(kept)}" y1="${top}" y2="${foot}"/>`);
  return lines.join('');
}

// The steps at which it answered anything; the base, step 0, stands beside each of them.
function answeredSteps({samples, asked}) { return [...new Set([...samples, ...asked])].filter(step => step > 0).sort((a, b) => a - b); }

// What the marks mean, as far as they are there.
function legendOf(data) {
  const {samples, asked, checkpoints, kept} = data.marks, keys = [['train', NAMES[data.series].short]];
  if (data.heldOut.length) keys.push(['held', data.series === 'loss' ? word('held-out loss') : word('held out')]);
  if (samples.length) keys.push(['asked', word('answers')]);
  if (asked.length) keys.push(['question', word('your questions')]);
  if (checkpoints.length) keys.push(['saved', word('saved')]);
  if (kept != null) keys.push(['kept', word('best, step {n}', {n: figure(kept)})]);
  return keys.map(([kind, text]) => `<span class="key ${kind}">${text}</span>`).join('');
}
