// Without https a page has no clipboard; then the command is copied the old way, by selecting it.
element.addEventListener('click', async e => {
  if (!e.target.closest('[data-copy]')) return;
  const code = element.querySelector('code'), said = element.querySelector('[role=status]');
  const range = document.createRange(), selection = getSelection();
  range.selectNodeContents(code); selection.removeAllRanges(); selection.addRange(range);
  let copied = false;
  try { await navigator.clipboard.writeText(code.textContent); copied = true; } catch { copied =
  document.execCommand('copy'); }
  said.textContent = element.querySelectorAll('i')[copied ? 0 : 1].textContent;
});
