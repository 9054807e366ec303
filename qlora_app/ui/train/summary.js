element.addEventListener('click', async e => {
  if (e.target.closest('[data-settings]')) trigger('settings', {});
  if (!e.target.closest('[data-command]')) return;
  const code = document.querySelector('#command code'), said = element.querySelector('[role=status]');
  const texts = element.querySelectorAll('i');
  if (!code) { said.textContent = texts[1].textContent; return; }
  let copied = true;
  try { await navigator.clipboard.writeText(code.textContent); } catch {
    // Without https a page has no clipboard; then it is copied the old way, out of a field.
    const box = document.createElement('textarea'); box.value = code.textContent; document.body.append(box);
    box.select(); copied = document.execCommand('copy'); box.remove();
  }
  said.textContent = texts[copied ? 0 : 1].textContent;
});
