// Evaluations: the list below the runs, one of them opened, and the form for a new one.
// `element`, `props`, `server`, `trigger` and `watch` come from gr.HTML; MAY_CHANGE stands in front of this.
const find = name => element.querySelector(name), sheet = find('.evaluations');
const esc = text => String(text ?? '').replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);
const button = (name, words, kind = '') => `<button type="button" class="${kind}" data-do="${name}">${word(words)}</button>`;
const USUAL = {general: 'general', mmlu: 'mmlu', vicuna: 'length'}; // what such questions are measured by
const address = path => location.pathname.replace(/\/$/, '') + path;
const alone = (id, page, words) => `<a href="${address(`${NAMED}${esc(id)}/${page}`)}" target="_blank" rel="noopener">${word(words)}</a> `;
const NAMED = '/evaluations/'; // pages of an evaluation that stand alone
let rows = [], live = false, opened = null, view = {which: 'all', search: '', start: 0, by: ''}, offered = null, asked = [], file = null, typed = 0;
for (const one of element.querySelectorAll('h2')) one.textContent = word(one.textContent);

const bar = f => `<span class="interval" title="${esc(`${f.low} – ${f.high}`)}"><i style="left:${f.left}%;width:${Math.max(0.5, f.width)}%"></i><b style="left:${f.at}%"></b></span>`;
const figureOf = f => f && f.questions ? `<span class="figure"><b>${esc(f.value)}</b> <small>${esc(f.low)} – ${esc(f.high)}</small> ${bar(f)}</span>` : '–';

// ---- the list

async function ask() {
  const news = await server.listed({});
  rows = news.rows; live = news.live;
  sheet.dataset.state = rows.length || offered ? 'rows' : 'none';
  const text = opened ? '' : rows.map(row => `<li>${link(row)}<span class="state ${esc(row.state)}">${esc(row.word)}${row.live && row.part !== null ? ` ${row.part} %` : ''}</span>`
    + `<span class="who" translate="no">${esc(row.what)}</span><span class="what">${row.figures.length ? row.figures.map(value => `<b>${esc(value)}</b>`).join(' · ') : esc(row.sentence)}</span></li>`).join('');
  const list = find('.evaluation-list');
  if (list.dataset.said !== text) { list.innerHTML = text && `<ul>${text}</ul>`; list.dataset.said = text; }
  if (opened) await show();
}

// Each is a link, so that it opens in another tab too.
function link(row) {
  const href = row.kind === 'arena' ? address(`/arenas/${esc(row.id)}`) : `?tab=runs&evaluation=${esc(row.id)}`;
  return `<a href="${href}" ${row.kind === 'arena' ? '' : `data-open="${esc(row.id)}"`} title="${esc(row.id)}"><b translate="no">${esc(row.name)}</b></a>`;
}

// ---- one of them

async function show() {
  const id = opened, one = await server.one({id});
  if (id !== opened) return;
  if (!one.id) { close(); return; }
  const does = [one.live ? button('stop', 'Stop') : '', ['stopped', 'failed', 'interrupted'].includes(one.state) ? button('resume', 'Resume', 'main') : '', one.live ? '' : button('delete', 'Delete…', 'red')];
  const pages = [alone(id, 'judge', 'Judge'), one.titles.length > 1 ? alone(id, 'changed', 'What changed') : '', one.titles.length > 1
    ? `<form method="post" action="${address('/arenas')}" target="_blank"><button name="of" value="${esc(id)}" class="quiet link">${word('Let people judge')}</button></form>` : ''];
  const head = `<div class="line">${button('list', '← Evaluations', 'back')}<h2 translate="no">${esc(one.name)}</h2>${MAY_CHANGE ? `<button type="button" class="pencil" data-do="rename" aria-label="${word('Rename')}" title="${word('Rename')}">✎</button>` : ''}<span class="does deeds">${MAY_CHANGE ? does.join('') : ''}</span></div>`
    + `<p class="quiet" translate="no">${esc(one.what)}</p><p class="quiet"><span class="state ${esc(one.state)}">${esc(one.word)}</span> ${one.asked ? word('{n} questions', {n: figure(one.asked)}) + ` · <span translate="no">${esc(one.questions)}</span>` : ''} ${esc(one.sentence)}</p>`
    + (one.live && one.part !== null ? `<progress max="100" value="${one.part}"></progress>` : '')
    + (one.asked && MAY_CHANGE ? `<div class="deeds">${pages.join('')}</div>` : '');
  const text = head + one.measures.map(measure).join('') + one.boards.map(board).join('');
  const place = find('.evaluation-one');
  if (!place.querySelector('.told')) place.innerHTML = '<div class="told"></div><div class="side-by-side"></div>';
  const told = place.querySelector('.told');
  if (told.dataset.said !== text && !told.querySelector('input.renaming')) { told.innerHTML = text; told.dataset.said = text; }
  if (one.measures.length && !place.querySelector('.answer-tools')) { view.by = one.measures[0].evaluator; tools(one); await answers(); }
}

function measure(one) {
  const lines = one.rows.map((row, i) => `<tr><th scope="row" translate="no">${esc(row.name)}</th><td>${figureOf(row.figures[0])}</td><td>${figure(row.figures[0].questions)}</td>`
    + `<td class="others">${row.figures.slice(1).filter(f => f.questions).map(f => `${esc(f.name)} ${esc(f.value)} <small>${esc(f.low)} – ${esc(f.high)}</small>`).join('<br>')}</td></tr>`).join('');
  const heads = ['', word('95 % interval'), word('Questions'), ''].map(words => `<th scope="col">${words}</th>`).join('');
  const categories = one.categories.map(each => `<tr><th scope="row" translate="no">${esc(each.name)}</th>${each.cells.map(cell => `<td>${figureOf(cell)}</td>`).join('')}</tr>`).join('');
  const names = one.rows.map(row => `<th scope="col" translate="no">${esc(row.name)}</th>`).join('');
  return `<section class="measure" data-evaluator="${esc(one.evaluator)}"><h3>${esc(one.title)}</h3><div class="scrolls" tabindex="0" role="region" aria-label="${esc(one.title)}"><table class="leaderboard"><thead><tr>${heads}</tr></thead><tbody>${lines}</tbody></table></div>`
    + one.pairs.map(words => `<p class="pair">${esc(words)}</p>`).join('') + one.notes.map(words => `<p class="quiet">${esc(words)}</p>`).join('')
    + (categories ? `<details><summary>${word('By category')}</summary><div class="scrolls"><table class="leaderboard"><thead><tr><th></th>${names}</tr></thead><tbody>${categories}</tbody></table></div></details>` : '') + '</section>';
}

function board(one) {
  const heads = ['Rank', '', 'Rating', 'Matches', 'Won'].map(words => `<th scope="col">${words && word(words)}</th>`).join('');
  const lines = one.rows.map(row => `<tr><td>${row.rank}</td><th scope="row" translate="no">${esc(row.name)}</th><td>${figureOf(row.rating)}</td><td>${figure(row.matches)}</td><td>${esc(row.won)}</td></tr>`).join('');
  const arenas = one.arenas.map(id => `<a href="${address(`/arenas/${esc(id)}`)}" translate="no">${esc(id)}</a>`).join(' ');
  return `<section class="measure"><h3>${esc(one.title)}</h3><div class="scrolls" tabindex="0" role="region" aria-label="${esc(one.title)}"><table class="leaderboard board"><thead><tr>${heads}</tr></thead><tbody>${lines}</tbody></table></div>`
    + one.notes.map(words => `<p class="quiet">${esc(words)}</p>`).join('') + (arenas && `<p class="deeds">${arenas}</p>`) + '</section>';
}

function rename() {
  const title = find('.told h2'), box = document.createElement('input'), before = title.textContent;
  Object.assign(box, {className: 'renaming', value: before, maxLength: 80}); box.setAttribute('aria-label', word('Rename'));
  title.replaceWith(box); box.select();
  const end = async keeps => {
    if (!box.isConnected) return;
    const told = keeps && box.value.trim() !== before ? await server.rename({id: opened, name: box.value}) : {};
    if (told.problem) { box.setCustomValidity(told.problem); box.reportValidity(); return; }
    box.remove(); find('.told').dataset.said = ''; poll.want();
  };
  box.addEventListener('keydown', e => { if (e.key === 'Enter') end(true); if (e.key === 'Escape') end(false); });
  box.addEventListener('blur', () => end(true));
}

// ---- the answers side by side

function tools(one) {
  const some = [['all', 'All'], ['differ', 'Answers differ'], ['one', 'One is right'], ['wrong', 'All are wrong']];
  const by = one.measures.length > 1 ? `<select name="by" aria-label="${word('Right by')}">${one.measures.map(each => `<option value="${esc(each.evaluator)}">${esc(each.title)}</option>`).join('')}</select>` : '';
  find('.side-by-side').innerHTML = `<h3>${word('The answers side by side')}</h3><div class="answer-tools runs-tools" role="search"><span class="switches" role="group">${some.map(([name, words]) => `<button type="button" data-which="${name}" aria-pressed="${name === view.which}">${word(words)}</button>`).join('')}</span>`
    + `${by}<input type="search" name="search" placeholder="${word('Search in questions and answers')}" aria-label="${word('Search in questions and answers')}" autocomplete="off"><span class="count" role="status"></span></div>`
    + `<div class="answer-rows" data-names="${esc(JSON.stringify(one.titles))}"></div><button type="button" class="link" data-do="more" hidden>${word('Show more')}</button>`;
}
async function answers(more = false) {
  view.start = more ? element.querySelectorAll('.answer-rows > article').length : 0;
  const mine = view, told = await server.answers({id: opened, ...view}), place = find('.answer-rows');
  if (mine !== view || !place) return;
  const names = JSON.parse(place.dataset.names);
  const mark = right => right === null ? '' : right ? `<i class="right" role="img" aria-label="${word('right')}">✓</i>` : `<i class="wrong" role="img" aria-label="${word('wrong')}">✗</i>`;
  const html = told.rows.map(row => `<article><p class="question" translate="no">${row.category ? `<small>${esc(row.category)}</small> ` : ''}${esc(row.question)}</p>${row.expected ? `<p class="expected"><small>${word('Expected')}</small> <span translate="no">${esc(row.expected)}</span></p>` : ''}`
    + `<div class="beside">${row.answers.map((text, i) => `<div><small translate="no">${esc(names[i])}</small> ${mark(row.right[i])}<p translate="no">${esc(text)}</p></div>`).join('')}</div></article>`).join('');
  if (more) place.insertAdjacentHTML('beforeend', html); else place.innerHTML = html;
  find('.answer-tools .count').textContent = word('{n} of {n2} questions', {n: figure(told.total), n2: figure(told.all)});
  find('[data-do="more"]').hidden = element.querySelectorAll('.answer-rows > article').length >= told.total;
}

// ---- the form

// What was typed stands in it again when the page was loaded again; a file is chosen anew.
const FORM = 'evaluation';
const keepForm = () => guanacoKeep(FORM, {runs: asked, fields: guanacoFields(find('.evaluation-form'))});
function closeForm() { offered = null; guanacoForget(FORM); find('.evaluation-form').replaceChildren(); }

async function offer(runs, fields) {
  asked = runs; offered = await server.offered({runs}); file = null;
  const box = (kind, name, words, on) => `<label><input type="checkbox" name="${kind}" value="${esc(name)}" ${on ? 'checked' : ''}> <span ${kind === 'who' ? 'translate="no"' : ''}>${esc(words)}</span></label>`;
  const who = offered.contestants.map(one => box('who', one.word, one.title, one.on)).join('');
  const what = offered.evaluators.map((one, i) => box('what', one.name, one.title, i === 0)).join('');
  const sets = offered.sets.map(one => `<option value="${esc(one.name)}">${esc(one.title)}</option>`).join('');
  find('.evaluation-form').innerHTML = `<form><fieldset><legend>${word('Who is asked')}</legend>${who}</fieldset>`
    + `<fieldset><legend>${word('Questions')}</legend><select name="set" aria-label="${word('Questions')}">${sets}</select>`
    + `<label data-of="file" hidden>${word('File')} <input type="file" name="file" accept=".jsonl,.json,.csv,.tsv,.txt"></label>`
    + (offered.noTasks ? `<p data-of="lm_eval" class="wrong" hidden>${esc(offered.noTasks)}</p>`
      : `<span data-of="lm_eval" class="tasks" hidden>${offered.tasks.map((name, i) => box('task', name, name, i === 0)).join('')}</span>`)
    + `<label data-of="mmlu" hidden>${word('Folder on this machine')} <input type="text" name="folder" autocomplete="off"></label>`
    + `<label>${word('At most')} <input type="number" name="limit" min="1" step="1" placeholder="${word('all')}"></label></fieldset>`
    + `<fieldset class="measures"><legend>${word('What is measured')}</legend>${what}<label data-by="regex" hidden>${word('Regular expression')} <input type="text" name="pattern" value="." autocomplete="off" aria-describedby="pattern-wrong"><small id="pattern-wrong" class="wrong" role="alert"></small></label>`
    + `<label data-by="mmlu" hidden>${word('Shots')} <select name="shots"><option>5</option><option>0</option></select></label></fieldset>`
    + `<p class="takes quiet" role="status"></p><p class="wrong" role="alert" hidden></p><div class="deeds"><button type="submit" class="main">${word('Evaluate')}</button>${button('cancel', 'Cancel')}</div></form>`;
  guanacoFill(find('.evaluation-form'), fields); keepForm();
  sheet.dataset.state = 'rows'; takes();
  if (!fields) { close(); find('.evaluation-form').scrollIntoView({block: 'nearest'}); }
}
function filled() {
  const form = find('form'), all = name => [...form.querySelectorAll(`[name="${name}"]:checked`)].map(one => one.value);
  const limit = parseInt(form.limit.value, 10);
  return {contestants: all('who'), evaluators: all('what'), set: form.set.value, file, folder: form.folder.value.trim(), tasks: all('task'), pattern: form.pattern.value, shots: form.shots.value, limit: limit > 0 ? limit : null};
}
function takes() {
  const form = find('form'); if (!form) return;
  const now = filled();
  for (const one of form.querySelectorAll('[data-of]')) one.hidden = one.dataset.of !== now.set;
  for (const one of form.querySelectorAll('[data-by]')) one.hidden = !now.evaluators.includes(one.dataset.by);
  find('.measures').hidden = now.set === 'lm_eval'; // such questions are measured in one way
  clearTimeout(typed);
  typed = setTimeout(async () => {
    const told = await server.takes(now), place = find('.takes');
    if (!place || !told) return; // the form is closed, or nobody answers
    const wrong = told.pattern || '';
    place.textContent = wrong ? '' : told.words;
    find('#pattern-wrong').textContent = wrong; find('[name="pattern"]').setAttribute('aria-invalid', !!wrong);
  }, 350);
}
async function read(input) {
  const chosen = input.files[0];
  file = chosen ? {name: chosen.name, text: await chosen.text()} : null;
  takes();
}
async function begin() {
  const submit = find('form [type=submit]'); submit.disabled = true;
  try {
    const told = await server.begin(filled()), wrong = find('form .wrong');
    if (told.problem) { wrong.hidden = false; wrong.textContent = told.problem; return; }
    closeForm(); open(told.id);
  } finally { submit.disabled = false; }
}

// The address tells which one is opened: a reload and a link open it again, and "back" closes it.
function open(id, isNew = true) { if (isNew) remember(id, 'pushState'); set(id); sheet.scrollIntoView({block: 'start'}); view = {which: 'all', search: '', start: 0, by: ''}; find('.evaluation-one').replaceChildren(); poll.want(); }
function close(isNew = true) { if (isNew && opened) remember(null, 'pushState'); set(null); find('.evaluation-one').replaceChildren(); find('.evaluation-list').dataset.said = ''; poll.want(); }

function set(id) { opened = id; sheet.dataset.opened = id || ''; }
function remember(id, how) {
  const q = new URLSearchParams(location.search);
  q.set('tab', 'runs');
  for (const name of ['run', 'compare', 'show', 'chat']) q.delete(name);
  id ? q.set('evaluation', id) : q.delete('evaluation');
  history[how](null, '', '?' + q);
}
function fromAddress() {
  const id = new URLSearchParams(location.search).get('evaluation');
  if (id && id !== opened) open(id, false);
  if (!id && opened) close(false);
}
window.addEventListener('popstate', fromAddress);

element.addEventListener('click', async e => {
  const act = e.target.closest('[data-do]')?.dataset.do, id = e.target.closest('[data-open]')?.dataset.open, which = e.target.closest('[data-which]')?.dataset.which;
  if (id && !(e.ctrlKey || e.metaKey || e.shiftKey)) { e.preventDefault(); open(id); return; }
  if (which) { view = {...view, which}; for (const one of element.querySelectorAll('[data-which]')) one.setAttribute('aria-pressed', one.dataset.which === which); answers(); return; }
  if (act === 'list') close();
  if (act === 'rename') rename();
  if (act === 'more') answers(true);
  if (act === 'cancel') { closeForm(); poll.want(); }
  if (act === 'stop') { await server.stop({id: opened}); poll.soon(200, 1000); }
  if (act === 'resume') { await server.resume({id: opened}); poll.soon(200, 1000); }
  if (act === 'delete') e.target.closest('.does').innerHTML = `<span class="quiet">${word('The figures go; the answers stay for others.')}</span>${button('sure', 'Delete', 'red')}${button('keep', 'Keep it')}`;
  if (act === 'keep') { find('.told').dataset.said = ''; poll.want(); }
  if (act === 'sure') { await server.delete({id: opened}); close(); }
});
element.addEventListener('submit', e => { e.preventDefault(); begin(); });
element.addEventListener('change', e => {
  if (e.target.name === 'by') { view = {...view, by: e.target.value}; answers(); return; }
  if (e.target.name === 'file') { read(e.target); return; }
  if (e.target.name === 'set') for (const one of element.querySelectorAll('[name="what"]')) one.checked = one.value === (USUAL[e.target.value] || 'exact_match');
  if (e.target.closest('form')) { keepForm(); takes(); }
});
element.addEventListener('input', e => {
  if (e.target.name !== 'search') { if (e.target.closest('form')) { keepForm(); takes(); } return; }
  clearTimeout(typed); typed = setTimeout(() => { view = {...view, search: e.target.value}; answers(); }, 200);
});
window.addEventListener('guanaco-evaluate', e => offer(e.detail.runs));
const poll = guanacoPoll({place: element, ask, every: () => live ? 1000 : 6000});
watch('value', () => poll.want());
fromAddress();
guanacoOnceReady(() => { const kept = guanacoKept(FORM); if (kept) offer(kept.runs, kept.fields); });
