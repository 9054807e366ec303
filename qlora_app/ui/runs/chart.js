// The loss chart. One Chart per card; it owns its SVG, the pointer, the keyboard cursor and the numbers it has so far.
const SVG = 'http://www.w3.org/2000/svg';

class Chart {
  constructor(figure) {
    this.figure = figure; this.plot = figure.querySelector('.plot'); this.legend = figure.querySelector('.legend');
    this.read = figure.querySelector('.read'); this.numbers = figure.querySelector('.numbers'); this.clear();
    this.numbers.addEventListener('toggle', () => this.tabulate());
    figure.addEventListener('pointermove', e => this.point(e));
    figure.addEventListener('pointerleave', () => { if (!this.plot.contains(document.activeElement)) this.moveTo(null); });
    figure.addEventListener('keydown', e => this.key(e));
    new ResizeObserver(() => this.draw()).observe(figure);
  }
  clear() { this.x = []; this.y = []; this.low = []; this.high = []; this.heldOut = []; this.total = 1; this.grouping = 0; this.at = null; this.drawn = ''; }
  get known() { return {grouping: this.grouping, count: this.x.length}; }

  // News holds points from index `from` on; the last known one may have grown, so it is sent again.
  add(news) {
    const before = this.mark();
    for (const [column, numbers] of Object.entries(news.points)) this[column] = this[column].slice(0, news.from).concat(numbers);
    this.heldOut = news.held_out; this.total = news.total; this.grouping = news.grouping;
    if (this.mark() !== before) this.draw();
  }
  mark() { return [this.grouping, this.x.length, this.y.at(-1), this.total, this.heldOut.length].join(); }

  // A centred mean: an exponential one lags visibly above a falling curve.
  smooth() {
    const half = Math.max(1, Math.round(this.y.length / 40)), sums = [0];
    for (const v of this.y) sums.push(sums.at(-1) + v);
    return this.y.map((_, i) => { const h = Math.min(half, i, this.y.length - 1 - i); return (sums[i + h + 1] - sums[i - h]) / (2 * h + 1); });
  }

  draw() {
    const width = Math.round(this.plot.clientWidth);
    this.figure.hidden = this.x.length < 2; // one point is no curve; its value stands in the figures above
    if (this.figure.hidden || width < 60) return;
    const height = width < 480 ? 190 : 250, left = 40, right = 14, top = 10, bottom = 30;
    const held = this.heldOut.map(p => p.loss), lowest = Math.min(...this.low, ...held), highest = Math.max(...this.high, ...held);
    const ticks = Chart.ticks(lowest, highest, 4), y0 = ticks[0], y1 = ticks.at(-1);
    const X = x => left + x / this.total * (width - left - right), Y = y => height - bottom - (y - y0) / ((y1 - y0) || 1) * (height - top - bottom);
    const xy = (x, y) => X(x).toFixed(1) + ' ' + Y(y).toFixed(1), smooth = this.smooth(), digits = y1 - y0 < 0.5 ? 2 : 1;
    const lines = [];
    for (const t of ticks) lines.push(`<line class="grid" x1="${left}" x2="${width - right}" y1="${Y(t)}" y2="${Y(t)}"/><text x="${left - 8}" y="${Y(t) + 4}" text-anchor="end">${figure(t, digits)}</text>`);
    for (const t of Chart.ticks(0, this.total, width < 480 ? 3 : 6)) if (X(t) < width - right - 64) lines.push(`<text x="${X(t)}" y="${height - 9}" text-anchor="middle">${figure(t)}</text>`);
    lines.push(`<text x="${width - right}" y="${height - 9}" text-anchor="end">${word('{n} steps', {n: figure(this.total)})}</text>`);
    const there = this.x.map((x, i) => xy(x, this.high[i])), back = this.x.map((x, i) => xy(x, this.low[i])).reverse();
    if (this.x.length > 1) lines.push(`<path class="band" d="M${there.concat(back).join('L')}z"/><path class="raw" d="M${this.x.map((x, i) => xy(x, this.y[i])).join('L')}"/>`);
    lines.push(`<path class="smooth" d="M${this.x.map((x, i) => xy(x, smooth[i])).join('L')}"/>`);
    if (this.heldOut.length > 1) lines.push(`<path class="held" d="M${this.heldOut.map(p => xy(p.step, p.loss)).join('L')}"/>`);
    for (const p of this.heldOut) lines.push(`<path class="diamond" d="M${X(p.step)} ${Y(p.loss) - 5}l5 5l-5 5l-5-5z"/>`);
    lines.push(`<circle class="end" r="3.5" cx="${X(this.x.at(-1))}" cy="${Y(smooth.at(-1))}"/><line class="cursor" y1="${top}" y2="${height - bottom}" x1="-9" x2="-9"/>`);
    this.put(lines.join(''), width, height);
    this.view = {width, left, right, X, smooth};
    this.legend.innerHTML = `<span class="key train">${word('training loss')}</span>` + (held.length ? `<span class="key held">${word('held-out loss')}</span>` : '');
    this.moveTo(this.at); this.tabulate();
  }
  put(inside, width, height) {
    let svg = this.plot.querySelector('svg');
    if (!svg) { // kept for good, so that focus stays while the curve grows
      svg = document.createElementNS(SVG, 'svg'); svg.setAttribute('role', 'img'); svg.setAttribute('tabindex', '0'); svg.setAttribute('width', '100%');
      this.plot.replaceChildren(svg);
    }
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`); svg.setAttribute('height', height); svg.innerHTML = inside;
    svg.setAttribute('aria-label', `${this.summary()} ${word('Arrow keys read single values.')}`);
  }
  // What the picture says, in one sentence: under it for everybody, and as its name for those who cannot see it.
  summary() {
    const values = {n: figure(this.x.at(-1)), n1: lossFigure(this.y[0]), n2: lossFigure(this.y.at(-1)), n3: '', n4: ''};
    const several = this.heldOut.length > 1;
    if (several) [values.n3, values.n4] = [this.heldOut[0], this.heldOut.at(-1)].map(p => lossFigure(p.loss));
    const went = several ? 'In {n} steps the training loss went from {n1} to {n2}, held-out loss from {n3} to {n4}.'
      : 'In {n} steps the training loss went from {n1} to {n2}.';
    return word(went, values) + (this.grouping > 1 ? ' ' + word('Each point is the mean of {n} steps.', {n: figure(this.grouping)}) : '');
  }
  // About twenty rows, evenly spread, and every held-out measurement.
  tabulate() {
    if (!this.numbers.open || !this.x.length) return;
    const every = Math.ceil(this.x.length / 20), held = new Map(this.heldOut.map(p => [p.step, p.loss])), rows = new Map();
    this.x.forEach((x, i) => { if (i % every === 0 || i === this.x.length - 1) rows.set(x, this.y[i]); });
    const steps = [...new Set([...rows.keys(), ...held.keys()])].sort((a, b) => a - b), cell = v => `<td>${v === undefined ? '' : figure(v, 3)}</td>`;
    this.numbers.lastElementChild.innerHTML = `<table><thead><tr>${[word('Step'), word('Training loss'), word('Held-out loss')].map(name => `<th scope="col">${name}</th>`).join('')}</tr></thead><tbody>`
      + steps.map(x => `<tr><th scope="row">${figure(x)}</th>${cell(rows.get(x))}${cell(held.get(x))}</tr>`).join('') + '</tbody></table>';
  }
  static ticks(low, high, most) {
    const span = (high - low) || 1, rough = span / most, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map(m => m * power).find(s => s >= rough), out = [];
    for (let t = Math.floor(low / step) * step; t < high + step; t += step) { out.push(+t.toPrecision(6)); if (t >= high) break; }
    return out;
  }

  point(e) {
    const svg = e.target.closest && e.target.closest('svg'); if (!svg || !this.view) return;
    const box = svg.getBoundingClientRect(), {width, left, right} = this.view;
    this.moveTo(((e.clientX - box.x) / box.width * width - left) / (width - left - right) * this.total);
  }
  key(e) {
    if (!this.view || !this.x.length) return;
    const here = this.at === null ? this.x.length - 1 : this.nearest(this.at), far = e.shiftKey ? 10 : 1;
    const next = {ArrowLeft: here - far, ArrowRight: here + far, Home: 0, End: this.x.length - 1}[e.key];
    if (next === undefined) return;
    e.preventDefault(); this.read.setAttribute('aria-live', 'polite');
    this.moveTo(this.x[Math.max(0, Math.min(this.x.length - 1, next))]);
  }
  nearest(x) { let best = 0; this.x.forEach((v, i) => { if (Math.abs(v - x) < Math.abs(this.x[best] - x)) best = i; }); return best; }
  moveTo(x) {
    this.at = x; const cursor = this.plot.querySelector('.cursor'); if (!cursor || !this.view) return;
    if (x === null) { cursor.setAttribute('x1', -9); cursor.setAttribute('x2', -9); this.read.textContent = this.summary(); return; }
    const i = this.nearest(x), at = this.view.X(this.x[i]); cursor.setAttribute('x1', at); cursor.setAttribute('x2', at);
    const held = this.heldOut.filter(p => p.step <= this.x[i]).at(-1);
    const values = {n: figure(this.x[i]), n1: figure(this.y[i], 3), n2: held && figure(held.loss, 3), n3: held && figure(held.step)};
    this.read.textContent = held ? word('Step {n}: training loss {n1}, held-out loss {n2} at step {n3}', values)
      : word('Step {n}: training loss {n1}', values);
  }
}
