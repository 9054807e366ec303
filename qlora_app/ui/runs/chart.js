// A run's curves. One Chart per card; it owns its SVG, the pointer, the keyboard cursor and the numbers it has so far.
const SVG = 'http://www.w3.org/2000/svg';

class Chart {
  // `asked` is called when another curve is wanted, `chosen` with the step whose answers are.
  constructor(figure, asked = () => {}, chosen = () => {}) {
    this.figure = figure; this.plot = figure.querySelector('.plot'); this.legend = figure.querySelector('.legend');
    this.read = figure.querySelector('.read'); this.numbers = figure.querySelector('.numbers');
    this.wanted = 'loss'; this.isLog = false; this.strength = 4; this.asked = asked; this.choose = chosen; this.clear();
    this.numbers.addEventListener('toggle', () => this.tabulate());
    this.plot.addEventListener('pointermove', e => this.point(e));
    this.plot.addEventListener('pointerleave', () => { if (!this.plot.contains(document.activeElement)) this.moveTo(null); });
    this.plot.addEventListener('click', e => this.pick(e));
    figure.addEventListener('keydown', e => this.key(e));
    figure.querySelector('.switches').addEventListener('click', e => { const one = e.target.closest('[data-series]'); if (one) this.turn(one.dataset.series); });
    figure.querySelector('.log-scale').addEventListener('change', e => { this.isLog = e.target.checked; this.draw(); });
    figure.querySelector('.smoothing').addEventListener('input', e => { this.strength = +e.target.value; this.draw(); });
    new ResizeObserver(() => { if (Math.round(this.plot.clientWidth) !== this.width) this.draw(); }).observe(figure);
  }
  clear() {
    this.data = {series: this.wanted, x: [], y: [], low: [], high: [], heldOut: [], marks: {samples: [], asked: [], checkpoints: [], kept: null}, total: 1, grouping: 0, chosen: null};
    this.at = null; this.width = 0; this.view = null;
  }
  get known() { return {series: this.wanted, grouping: this.wanted === this.data.series ? this.data.grouping : 0, count: this.data.x.length}; }

  turn(series) {
    this.wanted = series;
    for (const one of this.figure.querySelectorAll('[data-series]')) one.setAttribute('aria-pressed', one.dataset.series === series);
    this.asked();
  }
  // News holds points from index `from` on; the last known one may have grown, so it is sent again.
  add(news) {
    if (news.series !== this.wanted) return; // it was asked for before another one was wanted
    const before = this.mark(), data = this.data;
    for (const [column, numbers] of Object.entries(news.points)) data[column] = data[column].slice(0, news.from).concat(numbers);
    data.series = news.series; for (const one of this.figure.querySelectorAll('[data-rewards]')) one.hidden = !news.rewards;
     data.heldOut = news.held_out; data.marks = news.marks; data.total = news.total; data.grouping = news.grouping;
    if (this.mark() !== before || !this.view) this.draw();
  }
  show(step) { if (this.data.chosen !== step) { this.data.chosen = step; this.draw(); } }
  mark() { const d = this.data; return [d.series, d.grouping, d.x.length, d.y.at(-1), d.total, d.heldOut.length, JSON.stringify(d.marks)].join(); }

  draw() {
    const data = this.data, width = Math.round(this.plot.clientWidth);
    this.figure.hidden = data.x.length < 2 && this.wanted === 'loss'; // one point is no curve; its value stands in the figures above
    if (this.figure.hidden || !this.plot.clientWidth || width < 60) return;
    this.width = width;
    if (data.x.length < 2) { this.nothing(); return; }
    const box = {width, height: width < 480 ? 190 : 250, left: 52, right: 14, top: 10, bottom: 30}, smooth = smoothed(data.y, this.strength);
    const made = drawing(data, smooth, box, this.isLog && extent([data.low, data.high], true) !== null);
    this.view = {...box, ...made, smooth};
    this.put(made.inside, width, box.height);
    this.legend.innerHTML = legendOf(data);
    this.moveTo(this.at); this.tabulate();
  }
  // Of a curve that this run has no numbers of, as those of the first version.
  nothing() { this.view = null; this.plot.replaceChildren(); this.legend.innerHTML = ''; this.read.textContent = word('This run has no figures of that.'); }
  put(inside, width, height) {
    let svg = this.plot.querySelector('svg');
    if (!svg) { // kept for good, so that focus stays while the curve grows
      svg = document.createElementNS(SVG, 'svg'); svg.setAttribute('role', 'img'); svg.setAttribute('tabindex', '0'); svg.setAttribute('width', '100%');
      const box = document.createElement('div'); box.className = 'reading'; box.hidden = true; box.setAttribute('aria-hidden', 'true');
      this.plot.replaceChildren(svg, box);
    }
    svg.setAttribute('viewBox', `0 0 ${width} ${height}`); svg.setAttribute('height', height); svg.innerHTML = inside;
    svg.setAttribute('aria-label', `${this.summary()} ${word('Arrow keys read single values.')}${answeredSteps(this.data.marks).length ? ' ' + word('Enter shows what it answered there.') : ''}`);
  }
  // What the picture says, in one sentence: under it for everybody, and as its name for those who cannot see it.
  summary() {
    const {x, y, heldOut, grouping, series} = this.data, {write, name} = NAMES[series];
    const values = {n: figure(x.at(-1)), n1: write(y[0]), n2: write(y.at(-1)), n3: '', n4: '', name};
    const means = grouping > 1 ? ' ' + word('Each point is the mean of {n} steps.', {n: figure(grouping)}) : '';
    if (series !== 'loss') return word('{name} in {n} steps: from {n1} to {n2}.', values) + means;
    const several = heldOut.length > 1;
    if (several) [values.n3, values.n4] = [heldOut[0], heldOut.at(-1)].map(p => lossFigure(p.loss));
    const went = several ? 'In {n} steps the training loss went from {n1} to {n2}, held-out loss from {n3} to {n4}.'
      : 'In {n} steps the training loss went from {n1} to {n2}.';
    return word(went, values) + means;
  }
  // About twenty rows, evenly spread, and every held-out measurement.
  tabulate() {
    const {x, y, heldOut, series} = this.data; if (!this.numbers.open || !x.length) return;
    const held = new Map(heldOut.map(p => [p.step, p.loss])), rows = new Map(thinned(x.length, 20).map(i => [x[i], y[i]]));
    const steps = [...new Set([...rows.keys(), ...held.keys()])].sort((a, b) => a - b), {name, write} = NAMES[series];
    const precise = series === 'loss' ? v => figure(v, 3) : write, cell = v => `<td>${v === undefined ? '' : precise(v)}</td>`;
    const heads = [word('Step'), name, ...(series === 'loss' ? [word('Held-out loss')] : [])];
    this.numbers.lastElementChild.innerHTML = `<table><thead><tr>${heads.map(one => `<th scope="col">${one}</th>`).join('')}</tr></thead><tbody>`
      + steps.map(step => `<tr><th scope="row">${figure(step)}</th>${cell(rows.get(step))}${series === 'loss' ? cell(held.get(step)) : ''}</tr>`).join('') + '</tbody></table>';
  }

  point(e) { const step = this.stepAt(e); if (step !== null) this.moveTo(step); }
  stepAt(e) {
    const svg = this.plot.querySelector('svg'); if (!svg || !this.view) return null;
    const box = svg.getBoundingClientRect(), {width, left, right} = this.view;
    return ((e.clientX - box.x) / box.width * width - left) / (width - left - right) * this.data.total;
  }
  // A point is chosen: the nearest step at which it answered anything. A mark is chosen for itself.
  pick(e) {
    const mark = e.target.closest('[data-step]'), step = mark ? +mark.dataset.step : this.stepAt(e);
    if (step !== null) { this.moveTo(step); this.chooseNear(step); }
  }
  chooseNear(step) { const steps = answeredSteps(this.data.marks); if (steps.length) this.choose(steps[nearest(steps, step)]); }
  key(e) {
    const {x} = this.data; if (!this.view || !x.length || !e.target.closest('svg')) return;
    if (e.key === 'Enter') { e.preventDefault(); this.chooseNear(this.at ?? x.at(-1)); return; }
    if (e.key === 'Escape' && this.data.chosen !== null) { e.preventDefault(); this.choose(this.data.chosen); return; }
    const here = this.at === null ? x.length - 1 : nearest(x, this.at), far = e.shiftKey ? 10 : 1;
    const next = {ArrowLeft: here - far, ArrowRight: here + far, Home: 0, End: x.length - 1}[e.key];
    if (next === undefined) return;
    e.preventDefault(); this.read.setAttribute('aria-live', 'polite');
    this.moveTo(x[Math.max(0, Math.min(x.length - 1, next))]);
  }
  // The reading: a box at the cursor, and the same in a line for those who do not see it.
  moveTo(step) {
    this.at = step; const cursor = this.plot.querySelector('.cursor'), box = this.plot.querySelector('.reading'); if (!cursor || !this.view) return;
    if (step === null) { cursor.setAttribute('x1', -9); cursor.setAttribute('x2', -9); box.hidden = true; this.read.textContent = this.summary(); return; }
    const {x, y, heldOut, series} = this.data, i = nearest(x, step), at = this.view.X(x[i]), {write, name} = NAMES[series];
    cursor.setAttribute('x1', at); cursor.setAttribute('x2', at);
    const held = heldOut.filter(p => p.step <= x[i]).at(-1), precise = series === 'loss' ? v => figure(v, 3) : write;
    const values = {n: figure(x[i]), n1: precise(y[i]), n2: held && figure(held.loss, 3), n3: held && figure(held.step), name};
    const said = held ? 'Step {n}: training loss {n1}, held-out loss {n2} at step {n3}' : 'Step {n}: training loss {n1}';
    this.read.textContent = series === 'loss' ? word(said, values) : word('Step {n}: {name} {n1}', values);
    this.tell(box, at, [word('step {n}', values), `${NAMES[series].short} ${values.n1}`, ...(held ? [`${series === 'loss' ? word('held-out loss') : word('held out')} ${series === 'loss' ? values.n2 : write(held.loss)}`] : [])]);
  }
  tell(box, at, lines) {
    box.hidden = false; box.replaceChildren(...lines.map(text => Object.assign(document.createElement('span'), {textContent: text})));
    const share = this.plot.clientWidth / this.view.width, isRight = at > this.view.width / 2;
    box.style.left = isRight ? '' : `${at * share + 10}px`; box.style.right = isRight ? `${this.plot.clientWidth - at * share + 10}px` : '';
  }
}
