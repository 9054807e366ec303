// The menus of conversations: all that are kept, searched by their words, and what may be done with this one.
function listChats() {
  const list = find('.chats .list');
  const box = make('input', {type: 'search', 'aria-label': word('Find a conversation'), placeholder: word('Words that were said'), autocomplete: 'off'});
  const found = make('div', {class: 'found'}), all = make('button', {type: 'button', class: 'all'}, word('Export all as JSONL'));
  list.replaceChildren(box, found, all);
  box.addEventListener('input', () => showChats(found, box.value.trim()));
  all.addEventListener('click', () => exportTalks(shelf.all(), 'conversations.jsonl'));
  showChats(found, '');
  box.focus();
}

function showChats(place, words) {
  const talks = shelf.all().filter(one => one.turns.length), shown = words ? talks.filter(one => Talk.holds(one, words)) : talks;
  place.replaceChildren(...shown.map(one => make('div', {class: 'earlier', 'data-run': one.run, 'data-number': one.number},
    make('button', {type: 'button', class: 'go-on', translate: 'no', 'aria-current': String(one.run === talk?.run && one.number === talk?.number)},
      make('b', {}, Talk.name(one)), ...(words ? [make('span', {}, Talk.around(one, words))] : []),
      make('span', {class: 'quiet'}, `${one.title || one.run} · ${new Date(one.at).toLocaleString(LANGUAGE, {dateStyle: 'short', timeStyle: 'short'})}`)),
    make('button', {type: 'button', class: 'remove'}, word('Delete')))));
  if (!shown.length) place.append(make('p', {class: 'quiet'}, noChats(talks.length)));
}

function noChats(count) {
  if (count) return word('No conversation has these words.');
  return shelf.storage instanceof FarStorage ? word('No conversation yet. They are kept under your login.') : word('No conversation yet. They are kept in this browser only.');
}

const chats = new Menu(find('.chats'), () => { listChats(); countVotes(); shelf.storage.look?.().then(() => find('.chats input')?.dispatchEvent(new Event('input'))); });
const more = new Menu(find('.more'), countVotes);

// What was said of answers, in whatever conversation, may be trained on: whoever comes back finds it.
async function countVotes() {
  const told = may('vote') && await server.vote({kind: 'count'}).catch(() => null);
  if (told && !told.problem) showVotes(told);
}

find('.chats .list').addEventListener('click', e => {
  const one = e.target.closest('.earlier'); if (!one) return;
  const run = one.dataset.run, number = +one.dataset.number;
  if (e.target.closest('.go-on')) { chats.close(); choose(run, number); return; }
  if (!e.target.closest('.remove')) return;
  removeTalk(run, number);
  showChats(find('.chats .found'), find('.chats input').value.trim());
  find('.chats input').focus();
});

find('.more .list').addEventListener('click', e => {
  const name = e.target.closest('button')?.dataset.do;
  if (!name) return;
  more.close(); find('.more .open').focus();
  if (name === 'copy-all') copy(e.target, Talk.markdown(talk, rows.names));
  else if (name === 'picture') picture();
  else if (name === 'export') exportTalks([talk], fileName('jsonl'));
  else if (name === 'undo') undo();
  else if (name === 'remove-talk') removeTalk(talk.run, talk.number);
});
