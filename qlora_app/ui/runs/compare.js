// The comparison: asks for the curves one looks at, draws them, reads them at the cursor, and says where its buttons lead.
// `element`, `props`, `server`, `trigger` and `watch` come from gr.HTML; SERIES stands in front of this.
const EVENTS = ['back', 'open', 'csv', 'parquet', 'merge'];
const KEY = 'guanaco-compare';
let view = {series: '', by: 'step', log: false, smoothing: 3}, lines = [], made = null, place = null, asked = 0;
try { view = {...view, ...JSON.parse(localStorage.getItem(KEY))}; } catch (error) { /* nothing was kept */ }
const page = () => element.querySelector('.compared'), find = name => element.querySelector(name);
const runs = () => JSON.parse(page()?.dataset.runs || '[]');
const nameOf = run => element.querySelector(`.standings [data-run="${run}"]`)?.textContent || run;

async function ask() {
  if (!page()) return;
  const number = ++asked, series = view.series || 'held_out';
  const news = await server.curves({runs: runs(), series, by: view.by});
  if (number !== asked) return;
  // Where nobody chose a curve, and held-out rows were not measured twice, the training loss says more.
  if (!view.series && !news.lines.some(line => line.x.length > 1)) { view.series = 'loss'; ask(); return; }
  lines = news.lines; place = null; draw();
}

function draw() {
  const plot = find('.overlay .plot'); if (!plot) return;
  const series = view.series || 'held_out', width = Math.round(plot.clientWidth); if (width < 60) return;
  for (const one of element.querySelectorAll('[data-series]')) one.setAttribute('aria-pressed', one.dataset.series === series);
  find('.overlay [name="by"]').value = view.by; find('[name="log"]').checked = view.log; find('[name="smoothing"]').value = view.smoothing;
  const box = {width, height: width < 480 ? 220 : 300, left: 58, right: 14, top: 10, bottom: 30};
  made = overlay(lines, {series, by: view.by}, box, view.log, view.smoothing);
  if (!made) { plot.replaceChildren(); find('.read').textContent = word('These runs have no figures of that.'); return; }
  plot.innerHTML = `<svg role="img" tabindex="0" viewBox="0 0 ${width} ${box.height}" width="100%" height="${box.height}">${made.inside}</svg><div class="reading" hidden aria-hidden="true"></div>`;
  made = {...made, ...box}; read();
}

const told = values => lines.map((line, i) => values[i] && `${nameOf(line.run)}: ${WRITE[view.series || 'held_out'](values[i].y)}`).filter(Boolean);
function read() {
  const cursor = find('.overlay .cursor'), box = find('.overlay .reading'), svg = find('.overlay svg'); if (!cursor) return;
  if (place === null) {
    const last = lines.map(line => line.x.length ? {y: line.y.at(-1)} : null);
    box.hidden = true; cursor.setAttribute('x1', -9); cursor.setAttribute('x2', -9);
    find('.read').textContent = word('At the end:') + ' ' + told(last).join(' · ');
    svg.setAttribute('aria-label', `${word(SERIES[view.series || 'held_out'])}. ${find('.read').textContent}. ${word('Arrow keys read single values.')}`);
    return;
  }
  const values = valuesAt(lines, place, made.far), at = made.X(place), rows = told(values);
  cursor.setAttribute('x1', at); cursor.setAttribute('x2', at);
  find('.read').textContent = `${PLACES[view.by](place)}: ${rows.join(' · ')}`;
  box.replaceChildren(Object.assign(document.createElement('b'), {textContent: PLACES[view.by](place)}), ...lines.map((line, i) => {
    const row = document.createElement('span'); if (!values[i]) return row;
    row.innerHTML = `<i class="line-key c${i + 1}"></i>`; row.append(`${WRITE[view.series || 'held_out'](values[i].y)}  ${nameOf(line.run)}`); return row;
  }));
  const share = svg.clientWidth / made.width, isRight = at > made.width / 2; box.hidden = false;
  box.style.left = isRight ? '' : `${at * share + 12}px`; box.style.right = isRight ? `${svg.clientWidth - at * share + 12}px` : '';
}
function keep(changes, anew) {
  view = {...view, ...changes};
  try { localStorage.setItem(KEY, JSON.stringify(view)); } catch (error) { /* kept for this visit only */ }
  anew ? ask() : draw();
}

element.addEventListener('click', e => {
  const button = e.target.closest('button'); if (!button) return;
  if (button.dataset.do === 'evaluate') { window.dispatchEvent(new CustomEvent('guanaco-evaluate', {detail: {runs: runs()}})); return; }
  if (EVENTS.includes(button.dataset.do)) trigger(button.dataset.do, {});
  if (button.dataset.run) trigger('open', {run: button.dataset.run});
  if (button.dataset.series) keep({series: button.dataset.series}, true);
});
element.addEventListener('change', e => { if (e.target.matches('.overlay [name="by"]')) keep({by: e.target.value}, true); if (e.target.name === 'log') keep({log: e.target.checked}, false); });
element.addEventListener('input', e => { if (e.target.name === 'smoothing') keep({smoothing: +e.target.value}, false); });
element.addEventListener('pointermove', e => {
  const svg = e.target.closest('.overlay svg'); if (!svg || !made) return;
  const box = svg.getBoundingClientRect(), {width, left, right, far} = made;
  place = Math.max(0, Math.min(far, ((e.clientX - box.x) / box.width * width - left) / (width - left - right) * far)); read();
});
element.addEventListener('pointerout', e => { if (e.target.closest('.overlay svg') && !e.relatedTarget?.closest?.('.overlay svg')) { place = null; read(); } });
element.addEventListener('keydown', e => {
  if (!e.target.closest('.overlay svg') || !made) return;
  const step = made.far / (e.shiftKey ? 10 : 50), here = place ?? made.far;
  const next = {ArrowLeft: here - step, ArrowRight: here + step, Home: 0, End: made.far}[e.key];
  if (e.key === 'Escape') { place = null; read(); }
  if (next === undefined) return;
  e.preventDefault(); place = Math.max(0, Math.min(made.far, next)); read();
});
let width = 0;
new ResizeObserver(() => { const now = find('.overlay .plot')?.clientWidth || 0; if (now !== width) { width = now; draw(); } }).observe(element);
const turn = () => { lines = []; made = null; ask(); guanacoOnceReady(restoreMerge); };
watch('value', () => setTimeout(turn, 0));
turn();
