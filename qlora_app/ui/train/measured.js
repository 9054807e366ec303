// When a run that is begun now would end, by the clock of whoever looks; and a size that is taken at a click. `element`,
// `trigger` and `watch` come from gr.HTML.
function tell() {
  for (const one of element.querySelectorAll('[data-takes]')) {
    const ends = new Date(Date.now() + 1000 * one.dataset.takes);
    one.textContent = ends.toLocaleTimeString([], {hour: '2-digit', minute: '2-digit'});
  }
}
element.addEventListener('click', e => {
  const button = e.target.closest('[data-use]');
  if (button) trigger('use', {count: button.dataset.use});
});
setInterval(tell, 20000);
watch('value', () => setTimeout(tell));
tell();
