// The keys of programs. One that was made stands in full until the page is left or another is made.
const card = element.querySelector('.keys'), part = name => card.querySelector(name);
speak(card);
const [nameBox, limitBox] = card.querySelectorAll('input');

function line(key) {
  const row = document.createElement('li'), about = document.createElement('span'), revoke = document.createElement('button');
  const limit = key.perMinute ? word('{count} requests a minute', {count: figure(key.perMinute)}) : word('any number of requests');
  const name = document.createElement('b'), begins = document.createElement('code');
  name.translate = begins.translate = false;
  name.textContent = key.name; begins.textContent = `${key.begins}…`;
  about.append(name, ' ', begins, ` · ${key.made} · ${limit}`);
  revoke.type = 'button'; revoke.dataset.revoke = key.name; revoke.textContent = word('Revoke');
  revoke.setAttribute('aria-label', `${word('Revoke')}: ${key.name}`);
  row.append(about, revoke);
  return row;
}

function show(said) {
  part('.made').replaceChildren(...said.keys.map(line));
  part('.explains').hidden = !said.isOpen; part('.needed').hidden = said.isOpen || said.areAskedFor; part('.closed').hidden = !said.areAskedFor || said.keys.length > 0;
  part('.warning').hidden = !said.problem; part('.warning').textContent = said.problem || '';
  if (!said.key) return;
  part('.fresh').hidden = false; part('.fresh pre').textContent = said.key;
}

async function ask(work) {
  try { const said = await work(); show(said); return said; } catch {
    part('.warning').hidden = false; part('.warning').textContent = word('The app does not answer. Try again.');
    return {problem: true};
  }
}

part('.making').addEventListener('submit', async e => {
  e.preventDefault();
  const limit = limitBox.value ? Math.round(+limitBox.value) : 0;
  const said = await ask(() => server.make_key({name: nameBox.value, per_minute: limit}));
  if (!said.problem) { nameBox.value = limitBox.value = ''; part('.fresh pre').focus(); }
});
// A key that is revoked is gone for good: the second click does it.
part('.made').addEventListener('click', e => {
  const button = e.target.closest('[data-revoke]');
  if (!button) return;
  if (!button.classList.contains('sure')) { button.classList.add('sure'); button.textContent = word('Revoke for good'); return; }
  part('.fresh').hidden = true; part('.fresh pre').textContent = '';
  ask(() => server.revoke_key({name: button.dataset.revoke}));
});
part('[data-do=copy]').addEventListener('click', () => navigator.clipboard?.writeText(part('.fresh pre').textContent));
ask(() => server.list_keys({}));
