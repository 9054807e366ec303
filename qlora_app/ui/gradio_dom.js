// Whatever reaches into the elements that Gradio makes, each with its reason. It is in the head of every page.

// A list opens on any key that its field hears, and Gradio hears Tab only after the focus has left: the list would open
// again behind it and stay open. So the field does not hear the keys that merely lead elsewhere.
const LEADING_AWAY = ['Tab', 'Shift', 'Control', 'Alt', 'Meta'];
addEventListener('keydown', event => {
  const isList = event.target instanceof Element && event.target.matches('input[role=combobox]');
  if (isList && LEADING_AWAY.includes(event.key)) event.stopImmediatePropagation();
}, true);

// The number behind a tab's name is no part of the name: Gradio's tabs have a place for words only.
function guanacoCount(tab, count) {
  const button = document.querySelector(`#tabs > .tab-wrapper [role=tablist] > [data-tab-id="${tab}"]`);
  if (!button) return;
  if (count) button.dataset.count = count.toLocaleString(); else delete button.dataset.count;
}

// Files dropped on the card of the data take the way of those chosen with its button, whose field Gradio hides.
function guanacoUpload(button, files) {
  const field = button?.matches('input[type=file]') ? button : button?.parentElement.querySelector('input[type=file]');
  if (!field) return;
  field.files = files;
  field.dispatchEvent(new Event('change', {bubbles: true}));
}
