// The list of runs: draws the rows one sees, asks for those and for what changed in them, and says what was chosen.
// `element`, `props`, `server`, `trigger` and `watch` come from gr.HTML; MAY_CHANGE and NAMES stand in front of this.
const SCREENFUL = 25; // rows that are asked for first: each is read from its folder
const EVENTS = ['open', 'chat', 'again', 'compare', 'rename', 'tag', 'archive', 'remove'];
const ALWAYS = 'name', AT_FIRST = ['name', 'state', 'model', 'data', 'differs', 'held_out', 'score', 'when'], KEPT = 600, KEY = 'guanaco-columns';
const find = name => element.querySelector(name);
const region = find('.runs-list'), body = find('tbody'), bar = find('.chosen-bar'), sheet = find('.runs-sheet');
let columns = AT_FIRST, query = {search: '', state: '', model: '', data: '', tag: '', sort: 'when', down: true};
let order = [], rows = new Map(), total = 0, all = -1, archived = 0, since = 0, live = false, lastMark = null;
const chosen = new Map(); // id -> row
let named = []; // the runs that the question before deleting names
try { const kept = JSON.parse(localStorage.getItem(KEY)); if (Array.isArray(kept)) columns = Object.keys(NAMES).filter(n => n === ALWAYS || kept.includes(n)); } catch (error) { /* nothing was kept */ }
speak(element);

const rowHeight = () => matchMedia('(max-width: 700px)').matches ? 62 : 36;
const nameWidth = () => find('th.name')?.clientWidth || region.clientWidth - 60; // a phone shows no heads
const seen = () => rowsSeen(region.scrollTop, region.clientHeight || 600, rowHeight(), total);

function drawHead() {
  find('table').style.setProperty('--others', columns.length - 1);
  find('thead').innerHTML = `<tr><th class="mark" scope="col"><input type="checkbox" class="all-shown" aria-label="${word('Choose all that are shown')}"></th>`
    + columns.map(name => {
      const sorted = query.sort === name, arrow = sorted ? (query.down ? ' ▾' : ' ▴') : '';
      const way = sorted ? ` aria-sort="${query.down ? 'descending' : 'ascending'}"` : '';
      const sortable = name !== 'note';
      return `<th scope="col" class="${name}"${way}>${sortable ? `<button type="button" data-sort="${name}">${word(NAMES[name])}<i aria-hidden="true">${arrow}</i></button>` : word(NAMES[name])}</th>`;
    }).join('') + '</tr>';
}

const drawn = new Map(); // id -> [tr, what stands in it]
function draw() {
  const {first, last} = seen(), height = rowHeight(), width = nameWidth(), parts = [];
  const spacer = (key, count) => {
    let entry = drawn.get(key);
    if (!entry) { const tr = document.createElement('tr'); tr.setAttribute('aria-hidden', 'true'); tr.innerHTML = '<td></td>'; entry = [tr, '']; drawn.set(key, entry); }
    entry[0].firstElementChild.style.height = `${count * height}px`; entry[0].firstElementChild.colSpan = columns.length + 1; entry[0].hidden = !count;
    return entry[0];
  };
  parts.push(spacer(' above', first));
  for (let i = first; i < last; i++) {
    const row = rows.get(order[i]), key = row ? row.id : ` ${i}`;
    const cells = row ? rowCells(row, columns, chosen.has(row.id), MAY_CHANGE, width) : `<td colspan="${columns.length + 1}" class="none">…</td>`;
    let entry = drawn.get(key);
    if (!entry) { entry = [document.createElement('tr'), '']; drawn.set(key, entry); }
    const [tr, before] = entry;
    if (before !== cells && !tr.querySelector('input.renaming')) {
      const focused = tr.contains(document.activeElement) && (document.activeElement.tagName === 'A' ? 'a' : document.activeElement.type === 'checkbox' ? 'input' : null);
      tr.innerHTML = cells; entry[1] = cells;
      if (focused) tr.querySelector(focused)?.focus({preventScroll: true});
    }
    tr.classList.toggle('is-chosen', !!row && chosen.has(row.id)); tr.dataset.run = row ? row.id : ''; tr.setAttribute('aria-rowindex', i + 2);
    parts.push(tr);
  }
  parts.push(spacer(' below', total - last));
  const now = [...body.children];
  if (now.length !== parts.length || now.some((tr, i) => tr !== parts[i])) place(parts);
  const kept = new Set(parts); for (const [key, [tr]] of drawn) if (!kept.has(tr)) drawn.delete(key);
  find('table').setAttribute('aria-rowcount', total + 1);
  if (rows.size > KEPT) { const near = new Set(order.slice(Math.max(0, first - 200), last + 200)); for (const id of rows.keys()) if (!near.has(id)) rows.delete(id); }
}
// What stays is not touched: a row that is moved loses the focus.
function place(parts) {
  const stays = new Set(parts); for (const tr of [...body.children]) if (!stays.has(tr)) tr.remove();
  parts.forEach((tr, i) => { if (body.children[i] !== tr) body.insertBefore(tr, body.children[i] || null); });
}

async function ask() {
  const mine = query, {first, last} = seen();
  const missing = isMissing(order, first, last, rows), count = total ? Math.max(60, last - first) : SCREENFUL;
  const news = await server.rows({...mine, start: first, count, since: missing ? 0 : since});
  if (mine === query) take(news);
}

function take(news) {
  live = news.live; find('.coming').textContent = news.coming;
  if (news.same) return;
  since = news.since; all = news.all; archived = news.archived;
  if (news.total !== total) { total = news.total; order.length = Math.min(order.length, total); }
  news.ids.forEach((id, i) => { order[news.start + i] = id; });
  for (const row of news.rows) { rows.set(row.id, row); if (chosen.has(row.id)) chosen.set(row.id, row); }
  if (news.ids.some(id => !rows.has(id))) { since = 0; poll.want(); }
  offer(news.choices); say(news);
  sheet.dataset.state = all === 0 ? 'empty' : 'rows';
  draw(); drawBar(null);
}

function say(news) {
  const turned = query.state === 'archived', among = turned ? archived : all - archived, values = {n: figure(total), n2: figure(among)};
  let words = among === 1 ? word('1 run') : word('{n} runs', {n: figure(among)});
  if (total !== among) words = word('{n} of {n2} runs', values);
  if (news.unread) words += ' · ' + word('reading {n} more', {n: figure(news.unread)});
  find('.count').textContent = words;
  const other = find('[data-do="archived"]'); other.hidden = !archived && !turned;
  other.textContent = turned ? word('Back to the others') : word('{n} archived', {n: figure(archived)});
  find('.nothing-fits').hidden = total > 0 || all === 0;
}

function offer(choices) {
  for (const [name, options] of Object.entries(choices)) {
    const select = find(`select[name="${name}"]`), text = JSON.stringify(options);
    select.closest('label').hidden = options.length === 0 && !query[name];
    if (select.dataset.options === text) continue;
    select.dataset.options = text;
    select.innerHTML = `<option value="">${select.closest('label').dataset.any}</option>` + options.map(([value, words]) => `<option value="${html(value)}">${html(words)}</option>`).join('');
    select.value = query[name];
  }
}

function ask_anew(changes) {
  query = {...query, ...changes}; order = []; since = 0; region.scrollTop = 0; drawHead(); poll.want();
}

// ---- what was chosen

function drawBar(part = '') {
  bar.hidden = chosen.size === 0;
  find('.all-shown')?.toggleAttribute('checked', false);
  const every = find('.all-shown'); if (every) { every.checked = total > 0 && chosen.size >= total; every.indeterminate = chosen.size > 0 && chosen.size < total; }
  if (bar.hidden) { bar.dataset.said = ''; return; }
  const picked = [...chosen.values()], one = picked.length === 1, resting = picked.filter(row => !row.live);
  const button = (name, words, kind = '') => `<button type="button" class="${kind}" data-do="${name}">${word(words)}</button>`;
  const can = [];
  if (picked.length > 1) can.push(button('compare', 'Compare', 'main'));
  if (one && picked[0].talks) can.push(button('chat', 'Chat', 'main'));
  if (MAY_CHANGE && one) can.push(button('again', 'Train again…'));
  if (MAY_CHANGE) can.push(button('tags', 'Tag'));
  if (MAY_CHANGE) can.push(picked.every(row => row.archived) ? button('unarchive', 'Put back in the list') : button('archive', 'Archive'));
  if (MAY_CHANGE && resting.length) can.push(button('losing', 'Delete…', 'red'));
  const text = `<b>${one ? word('1 chosen') : word('{n} chosen', {n: figure(picked.length)})}</b>${can.join('')}<button type="button" class="link" data-do="none">${word('Choose none')}</button>`;
  if (bar.dataset.said !== text) { bar.querySelector('.can').innerHTML = text; bar.dataset.said = text; }
  if (part !== null) bar.querySelector('.more').innerHTML = part;
}

function tagSheet() {
  const tags = [...new Set([...chosen.values()].flatMap(row => row.tags))];
  const chips = tags.map(tag => `<button type="button" class="tag" data-drop="${html(tag)}" aria-label="${word('Remove the tag')} ${html(tag)}">${html(tag)} ✕</button>`).join('');
  return `<form class="tagging deeds"><label>${word('Add a tag')} <input name="tag" maxlength="40" autocomplete="off"></label><button type="submit">${word('Add')}</button><span translate="no">${chips}</span></form>`;
}

async function losingSheet() {
  const runs = [...chosen.keys()], told = await server.losing({runs});
  named = told.runs;
  const words = `<p>${html(told.words)}</p>`;
  const red = told.runs.length ? `<button type="button" class="red full" data-do="remove">${html(told.button)}</button>` : '';
  return `<div class="losing deeds" role="alertdialog" aria-label="${word('Delete')}">${words}${red}<button type="button" data-do="keep">${word('Keep it')}</button></div>`;
}

function choose(tr, on, shift) {
  const place = Number(tr.getAttribute('aria-rowindex')) - 2;
  const ids = shift && lastMark !== null ? between(order, lastMark, place) : [tr.dataset.run];
  for (const id of ids) { const row = rows.get(id); if (on && row) chosen.set(id, row); else chosen.delete(id); }
  lastMark = place; draw(); drawBar();
}

async function chooseEvery(on) {
  chosen.clear();
  if (on) { const told = await server.rows({...query, start: 0, count: 0, since: 0, every: true}); for (const row of told.rows) chosen.set(row.id, row); }
  draw(); drawBar();
}

// ---- renaming in the row

function rename(tr) {
  const cell = tr.querySelector('td.name'), row = rows.get(tr.dataset.run), input = document.createElement('input');
  input.className = 'renaming'; input.value = row.name; input.maxLength = 80; input.setAttribute('aria-label', word('Name')); input.setAttribute('translate', 'no');
  cell.replaceChildren(input); input.focus(); input.select();
  let done = false;
  const end = keep => {
    if (done) return; done = true;
    const name = input.value.trim();
    if (keep && name && name !== row.name) { rows.set(row.id, {...row, name}); trigger('rename', {run: row.id, name}); soon(); }
    input.remove(); drawn.delete(row.id); tr.remove(); draw();
    body.querySelector(`tr[data-run="${row.id}"] a`)?.focus({preventScroll: true});
  };
  input.addEventListener('keydown', e => { if (e.key === 'Enter') end(true); if (e.key === 'Escape') end(false); e.stopPropagation(); });
  input.addEventListener('blur', () => end(true));
}

const soon = () => poll.soon(250, 900, 2000);

// ---- what one does

element.addEventListener('click', async e => {
  const act = e.target.closest('[data-do]')?.dataset.do, sort = e.target.closest('[data-sort]'), tr = e.target.closest('tbody tr');
  if (sort) { ask_anew(sortedBy(query, sort.dataset.sort)); element.querySelector(`[data-sort="${sort.dataset.sort}"]`)?.focus(); return; }
  if (e.target.matches('.all-shown')) { chooseEvery(e.target.checked); return; }
  if (e.target.closest('td.mark')) { const box = tr.querySelector('input'); if (e.target !== box) box.checked = !box.checked; choose(tr, box.checked, e.shiftKey); return; }
  if (act === 'rename') { rename(tr); return; }
  if (act === 'none') { chosen.clear(); draw(); drawBar(); return; }
  if (act === 'keep') { drawBar(); bar.querySelector('[data-do="losing"]')?.focus(); return; }
  if (act === 'tags') { drawBar(tagSheet()); bar.querySelector('input')?.focus(); return; }
  if (act === 'losing') { drawBar(await losingSheet()); bar.querySelector('[data-do="keep"]')?.focus(); return; }
  if (act === 'remove') { trigger('remove', {runs: named}); chosen.clear(); draw(); drawBar(); soon(); return; }
  if (act === 'archive' || act === 'unarchive') { trigger('archive', {runs: [...chosen.keys()], archived: act === 'archive'}); chosen.clear(); draw(); drawBar(); soon(); return; }
  if (act === 'archived') { const state = query.state === 'archived' ? '' : 'archived'; chosen.clear(); find('select[name="state"]').value = state; ask_anew({state}); drawBar(); return; }
  if (act === 'compare') { trigger('compare', {runs: [...chosen.keys()]}); return; }
  if (act === 'clear') { element.querySelectorAll('.runs-tools select').forEach(one => { one.value = ''; }); find('[name="search"]').value = ''; ask_anew({search: '', state: '', model: '', data: '', tag: ''}); return; }
  if (act) { trigger(act, {run: [...chosen.keys()][0]}); return; }
  const drop = e.target.closest('[data-drop]');
  if (drop) { trigger('tag', {runs: [...chosen.keys()], drop: [drop.dataset.drop]}); drop.remove(); soon(); return; }
  if (!tr?.dataset.run || e.ctrlKey || e.metaKey || e.target.closest('input')) return;
  e.preventDefault(); trigger('open', {run: tr.dataset.run});
});
element.addEventListener('submit', e => {
  e.preventDefault();
  const input = e.target.querySelector('input[name="tag"]'), tag = input?.value.trim(); if (!tag) return;
  trigger('tag', {runs: [...chosen.keys()], add: [tag]}); drawBar(); soon();
});
// Arrow keys go from row to row, the space bar chooses.
region.addEventListener('keydown', e => {
  const tr = e.target.closest('tbody tr'); if (!tr || !e.target.matches('a')) return;
  if (e.key === ' ') { e.preventDefault(); const box = tr.querySelector('input'); box.checked = !box.checked; choose(tr, box.checked, e.shiftKey); return; }
  const other = e.key === 'ArrowDown' ? tr.nextElementSibling : e.key === 'ArrowUp' ? tr.previousElementSibling : null;
  const link = other?.querySelector('a'); if (!link) return;
  e.preventDefault(); link.focus(); other.scrollIntoView({block: 'nearest'});
});
let typed = 0;
find('[name="search"]').addEventListener('input', e => { clearTimeout(typed); typed = setTimeout(() => ask_anew({search: e.target.value}), 180); });
element.addEventListener('change', e => {
  if (e.target.matches('.runs-tools select')) ask_anew({[e.target.name]: e.target.value});
  if (!e.target.matches('.columns input')) return;
  const kept = [...element.querySelectorAll('.columns input:checked')].map(one => one.value);
  columns = Object.keys(NAMES).filter(name => name === ALWAYS || kept.includes(name));
  try { localStorage.setItem(KEY, JSON.stringify(columns)); } catch (error) { /* kept for this visit only */ }
  drawn.clear(); body.replaceChildren(); drawHead(); draw(); drawBar();
});
// A list that is open closes when one goes on elsewhere.
find('.columns').addEventListener('focusout', e => { const box = e.currentTarget; if (e.relatedTarget && !box.contains(e.relatedTarget)) box.open = false; });
document.addEventListener('click', e => { const box = find('.columns'); if (box?.open && !box.contains(e.target)) box.open = false; });
element.addEventListener('keydown', e => {
  if (e.key !== 'Escape') return;
  const box = find('.columns'); if (box.open) { box.open = false; box.querySelector('summary').focus(); return; }
  if (bar.querySelector('.more').innerHTML) drawBar();
});

let frame = 0;
region.addEventListener('scroll', () => { if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); const {first, last} = seen(); if (isMissing(order, first, last, rows)) poll.want(); }); });
new ResizeObserver(() => draw()).observe(region);
for (const box of element.querySelectorAll('.columns input')) box.checked = columns.includes(box.value);
drawHead();
const isGone = gone => { find('.lost').hidden = !gone; };
const poll = guanacoPoll({place: element, ask, every: () => live ? 1000 : 4000, isGone});
watch('value', () => { poll.want(); soon(); });
