// Several curves in one picture, made of numbers alone. A line is {run, x, y, low, high}.
const WRITE = {
  held_out: v => figure(v, v < 0.1 ? 4 : 3), loss: v => figure(v, v < 0.1 ? 4 : 3), learning_rate: powerFigure, grad_norm: v => figure(v, 2),
  tokens_per_second: v => figure(v), memory_mb: v => `${figure(v / 1024, 2)} GB`,
};
const spell = seconds => seconds < 120 ? `${figure(seconds)} s` : seconds < 7200 ? `${figure(seconds / 60)} min` : `${figure(seconds / 3600, 1)} h`;
const PLACES = {step: v => figure(v), seconds: spell, tokens: v => figure(v)};

// {inside, X, Y}: the picture as SVG, and where a place and a value stand in it. `strength` of the smoothing from 0 to 10.
function overlay(lines, {series, by}, box, isLog, strength) {
  const {width, height, left, right, top, bottom} = box, seen = lines.filter(line => line.x.length);
  const values = extent(seen.flatMap(line => [line.low, line.high]), isLog); if (!values) return null;
  const marks = isLog ? logTicks(...values) : ticks(...values, 4), far = Math.max(...seen.map(line => line.x.at(-1)), 1e-9);
  const X = scale(0, far, left, width - right), Y = scale(marks[0], marks.at(-1), height - bottom, top, isLog), drawn = [];
  const xy = (x, y) => `${X(x).toFixed(1)} ${Y(y).toFixed(1)}`;
  const write = series.endsWith('loss') || series === 'held_out' ? v => figure(v, marks.at(-1) - marks[0] < 0.5 || isLog ? 2 : 1) : WRITE[series];
  for (const t of marks) drawn.push(`<line class="grid" x1="${left}" x2="${width - right}" y1="${Y(t)}" y2="${Y(t)}"/><text x="${left - 8}" y="${Y(t) + 4}" text-anchor="end">${write(t)}</text>`);
  for (const t of ticks(0, far, width < 480 ? 3 : 6)) if (t <= far && X(t) < width - right - 20) drawn.push(`<text x="${X(t)}" y="${height - 9}" text-anchor="middle">${PLACES[by](t)}</text>`);
  lines.forEach((line, i) => { if (line.x.length) drawn.push(lineOf(line, i, xy, strength)); });
  drawn.push(`<line class="cursor" y1="${top}" y2="${height - bottom}" x1="-9" x2="-9"/>`);
  return {inside: drawn.join(''), X, Y, far};
}

// The smoothed line, and faint behind it the raw one from lowest to highest; a single measurement is a dot.
function lineOf(line, i, xy, strength) {
  const smooth = smoothed(line.y, strength), kind = `c${i + 1}`, few = line.x.length <= 12;
  const raw = line.x.flatMap((x, n) => line.low[n] === line.high[n] ? [xy(x, line.y[n])] : [xy(x, line.low[n]), xy(x, line.high[n])]);
  const dots = few ? line.x.map((x, n) => `<circle class="${kind}" r="3" cx="${xy(x, line.y[n]).split(' ')[0]}" cy="${xy(x, line.y[n]).split(' ')[1]}"/>`).join('') : '';
  const path = line.x.length > 1 ? `<path class="${kind}" d="M${line.x.map((x, n) => xy(x, few ? line.y[n] : smooth[n])).join('L')}"/>` : '';
  return (few || !strength ? '' : `<path class="raw ${kind}" d="M${raw.join('L')}"/>`) + path + dots;
}

// What each line says at a place: the point nearest to it, where the line is that long.
function valuesAt(lines, place, far) {
  return lines.map(line => {
    if (!line.x.length || place > line.x.at(-1) + far / 50) return null;
    const i = nearest(line.x, place); return {x: line.x[i], y: line.y[i]};
  });
}
