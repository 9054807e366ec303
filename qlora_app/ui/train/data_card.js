// The card of the data: a button that turns the stage to the rows, and a place where files can be dropped.
const card = element.closest('.data');

element.addEventListener('click', event => {
  if (event.target.closest('[data-see]')) trigger('see', {});
});

for (const kind of ['dragenter', 'dragover']) card?.addEventListener(kind, event => {
  if (!event.dataTransfer?.types.includes('Files')) return;
  event.preventDefault();
  card.classList.add('dropping');
});
for (const kind of ['dragleave', 'drop']) card?.addEventListener(kind, event => {
  if (!card.contains(event.relatedTarget)) card.classList.remove('dropping');
});
card?.addEventListener('drop', event => {
  if (!event.dataTransfer?.files.length) return;
  event.preventDefault();
  window.guanacoUpload?.(card.querySelector('#upload'), event.dataTransfer.files);
});
