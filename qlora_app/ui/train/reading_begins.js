// `given`: the files that were uploaded, or the value of the list of data and what the settings on the form were suggested
// for: a list that is left says so too, and nothing is read then. Answers what is said on the card, on the face, and that
// Start waits.
const [chosen, suggested] = given;
if (typeof chosen === 'string' && isSuggestedFor(chosen, suggested)) return Array(3).fill({__type__: 'update'});
const files = Array.isArray(chosen) ? chosen : [chosen];
const bare = text => text.replace(/^(starter|file|hub)\//, '').replace(/^[0-9a-f]{12}-/, '');
const isOfTheApp = one => typeof one === 'string' && one.startsWith('starter/');
const nameOf = one => typeof one === 'string' ? bare(one) : one?.orig_name || one?.path?.split('/').pop() || '';
const name = files.some(isOfTheApp) ? '' : files.map(nameOf).filter(Boolean).join(', ');
const line = document.createElement('p'), bold = document.createElement('b');
line.className = 'quiet'; line.dataset.busy = typeof chosen === 'string' ? 'list' : 'file'; line.setAttribute('role', 'status');
bold.textContent = name; bold.translate = false;
const [before, after] = word(name ? 'Reading {name}…' : 'Reading the data…', {name: '\u0000'}).split('\u0000');
line.append(before, ...(name ? [bold, after] : []));
return [line.outerHTML, line.outerHTML.replace(' role="status"', ''), {interactive: false, __type__: 'update'}];
