// What the list of runs computes without looking at the page.
const HTML_CODES = {'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;'};
const html = text => String(text ?? '').replace(/[&<>"']/g, one => HTML_CODES[one]);
const BEYOND = 8; // rows above and below those one sees

// Which rows are drawn: from `first` up to, not with, `last`.
function rowsSeen(scrolled, height, rowHeight, total) {
  const first = Math.max(0, Math.min(total, Math.floor(scrolled / rowHeight)) - BEYOND);
  return {first, last: Math.min(total, Math.ceil((scrolled + height) / rowHeight) + BEYOND)};
}

// Is any row from `first` up to `last` not known? Places nobody asked about are holes, which `some` would pass over.
function isMissing(order, first, last, known) {
  return order.length < last || Array.from(order.slice(first, last)).some(id => !known.has(id));
}

// Shift-click: everything between two places of the list, both included. Places that are not known yet are left out.
function between(order, from, to) {
  const [low, high] = from < to ? [from, to] : [to, from];
  return order.slice(low, high + 1).filter(Boolean);
}

// A click on a head: another column begins with what one looks for there, the same one turns round.
const DOWN_FIRST = ['when', 'score', 'time', 'tokens'];
function sortedBy(query, column) {
  return {...query, sort: column, down: query.sort === column ? !query.down : DOWN_FIRST.includes(column)};
}

function sparkPath(values, width, height) {
  if (values.length < 2) return '';
  const low = Math.min(...values), span = (Math.max(...values) - low) || 1, step = width / (values.length - 1);
  return 'M' + values.map((v, i) => `${(i * step).toFixed(1)} ${(height - 1 - (v - low) / span * (height - 2)).toFixed(1)}`).join('L');
}

// When a run began: the time for today, the day for this year, else the date. Both times in milliseconds.
function whenBegun(began, now, language) {
  const day = new Date(began), today = new Date(now);
  if (day.toDateString() === today.toDateString()) return day.toLocaleTimeString(language, {hour: '2-digit', minute: '2-digit'});
  const near = day.getFullYear() === today.getFullYear();
  return day.toLocaleDateString(language, near ? {month: 'short', day: 'numeric'} : {year: 'numeric', month: 'short', day: 'numeric'});
}

const NONE = '<span class="none">–</span>';
const CELLS = {
  state: row => `<span class="dot ${row.live ? 'live' : html(row.state)}"></span>${row.part == null ? html(row.word) : `${figure(row.part)} %`}`
    + (row.left ? ` <small>${html(row.left)}</small>` : ''),
  model: row => html(row.model), data: row => html(row.data), method: row => html(row.method), note: row => html(row.note),
  differs: row => html(row.differs),
  held_out: row => row.held_out == null ? '' : `<b>${lossFigure(row.held_out)}</b>`
    + (row.spark.length > 1 ? ` <svg viewBox="0 0 56 16" width="56" height="16" aria-hidden="true"><path d="${sparkPath(row.spark, 56, 16)}"/></svg>` : ''),
  time: row => html(row.time), tokens: row => row.tokens == null ? '' : figure(row.tokens),
  tags: row => tagsOf(row),
  score: row => row.score == null ? '' : `${figure(Math.round(row.score * 100))} %`,
  when: row => `<time title="${html(new Date(row.made * 1000).toLocaleString(LANGUAGE))}">${whenBegun(row.made * 1000, Date.now(), LANGUAGE)}</time>`,
};
// Cells with names of people's own are never translated by a browser.
const AS_WRITTEN = ['model', 'data', 'note', 'differs', 'tags'];
const tagsOf = row => row.tags.map(tag => `<span class="tag">${html(tag)}</span>`).join('');

// Names often differ at their ends alone, so one that is too long is cut in its middle.
const ENDING = 14, LETTER = 7.4; // letters that always stay; pixels of one
const shortened = (name, most) => { const all = [...name]; return all.length <= most ? name : `${all.slice(0, Math.max(6, most - ENDING - 1)).join('').trimEnd()}…${all.slice(-ENDING).join('').trimStart()}`; };
// How many letters of a name two lines of its cell take, beside its tags.
function lettersIn(width, tags) {
  const beside = Math.min(width * 0.35, tags.reduce((sum, tag) => sum + tag.length * LETTER + 26, 0));
  return 2 * Math.floor((width - 20 - beside) / LETTER);
}

// Tags stand behind the name where they have no column of their own.
function nameCell(row, mayChange, columns, width) {
  const tags = columns.includes('tags') ? '' : tagsOf(row);
  const pencil = mayChange ? `<button type="button" class="pencil" data-do="rename" title="${word('Rename')}" aria-label="${word('Rename')}">✎</button>` : '';
  const wrong = row.problem ? `<small class="warning" title="${html(row.problem)}">${html(row.problem)}</small>` : '';
  const link = `<a href="?tab=runs&run=${encodeURIComponent(row.id)}" translate="no" title="${html(row.name)}"><span>${html(shortened(row.name, lettersIn(width, tags ? row.tags : [])))}</span></a>`;
  const more = tags ? `<span class="tags" translate="no" title="${html(row.tags.join(', '))}">${tags}</span>` : '';
  return `<div class="named">${link}${more}${wrong}${pencil}</div>`;
}

function rowCells(row, columns, chosen, mayChange, width) {
  const mark = `<td class="mark"><input type="checkbox" aria-label="${word('Choose')} ${html(row.name)}"${chosen ? ' checked' : ''}></td>`;
  const cells = columns.map(name => name === 'name' ? `<td class="name">${nameCell(row, mayChange, columns, width)}</td>`
    : `<td class="${name}"${AS_WRITTEN.includes(name) ? ` translate="no" title="${html(row[name])}"` : ''}>${CELLS[name](row) || NONE}</td>`);
  return mark + cells.join('');
}
