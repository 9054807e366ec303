// When a run that is begun now would end, by the clock of whoever looks, with its day unless that is today; and a size that is taken at a click. `element`,
// `trigger` and `watch` come from gr.HTML.
function clockIn(now, seconds, language) {
  const then = new Date(now + 1000 * seconds), time = {hour: '2-digit', minute: '2-digit'};
  if (then.toDateString() === new Date(now).toDateString()) return then.toLocaleTimeString(language, time);
  return then.toLocaleString(language, {weekday: 'short', day: 'numeric', month: 'short', ...time});
}
function tell() {
  for (const one of element.querySelectorAll('[data-takes]')) {
    one.textContent = clockIn(Date.now(), one.dataset.takes, document.documentElement.lang);
  }
}
element.addEventListener('click', e => {
  const button = e.target.closest('[data-use]');
  if (button) trigger('use', {count: button.dataset.use});
});
setInterval(tell, 20000);
watch('value', () => setTimeout(tell));
tell();
