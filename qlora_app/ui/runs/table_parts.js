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
const DOWN_FIRST = ['when', 'score'];
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
  score: row => row.score == null ? '' : `${figure(Math.round(row.score * 100))} %`,
  when: row => `<time title="${html(new Date(row.made * 1000).toLocaleString(LANGUAGE))}">${whenBegun(row.made * 1000, Date.now(), LANGUAGE)}</time>`,
};
// Cells with names of people's own are never translated by a browser.
const AS_WRITTEN = ['model', 'data', 'note', 'differs'];

function nameCell(row, mayChange) {
  const tags = row.tags.map(tag => `<span class="tag">${html(tag)}</span>`).join('');
  const pencil = mayChange ? `<button type="button" class="pencil" data-do="rename" title="${word('Rename')}" aria-label="${word('Rename')}">✎</button>` : '';
  const wrong = row.problem ? `<small class="warning" title="${html(row.problem)}">${html(row.problem)}</small>` : '';
  return `<a href="?tab=runs&run=${encodeURIComponent(row.id)}" translate="no" title="${html(row.id)}">${html(row.name)}</a>${pencil}<span translate="no">${tags}</span>${wrong}`;
}

function rowCells(row, columns, chosen, mayChange) {
  const mark = `<td class="mark"><input type="checkbox" aria-label="${word('Choose')} ${html(row.name)}"${chosen ? ' checked' : ''}></td>`;
  const cells = columns.map(name => name === 'name' ? `<td class="name">${nameCell(row, mayChange)}</td>`
    : `<td class="${name}"${AS_WRITTEN.includes(name) ? ' translate="no"' : ''}>${CELLS[name](row) || NONE}</td>`);
  return mark + cells.join('');
}
