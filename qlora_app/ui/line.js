// What waits is moved by its buttons, or by drag: `send` hears {job, beside, side}. Until a drag has ended nothing is drawn anew.
function movable(element, send) {
  let dragged = '';
  const row = event => event.target.closest && event.target.closest('li[data-waits]');
  const side = (over, event) => { const at = over.getBoundingClientRect(); return event.clientY < at.top + at.height / 2 ? 'before' : 'after'; };
  const clear = () => element.querySelectorAll('.dragged, .before, .after').forEach(one => one.classList.remove('dragged', 'before', 'after'));
  element.addEventListener('dragstart', event => {
    const from = row(event); if (!from) return;
    dragged = from.dataset.waits; from.classList.add('dragged');
    event.dataTransfer.effectAllowed = 'move'; event.dataTransfer.setData('text/plain', dragged);
  });
  element.addEventListener('dragover', event => {
    const over = row(event); if (!dragged || !over || over.dataset.waits === dragged) return;
    event.preventDefault();
    element.querySelectorAll('.before, .after').forEach(one => one.classList.remove('before', 'after'));
    over.classList.add(side(over, event));
  });
  element.addEventListener('drop', event => {
    const over = row(event); if (!dragged || !over) return;
    event.preventDefault();
    if (over.dataset.waits !== dragged) send({job: dragged, beside: over.dataset.waits, side: side(over, event)});
  });
  element.addEventListener('dragend', () => { dragged = ''; clear(); });
  element.addEventListener('click', event => {
    const button = event.target.closest('button[data-side]');
    if (button && button.dataset.beside) send({job: button.dataset.job, beside: button.dataset.beside, side: button.dataset.side});
  });
}
