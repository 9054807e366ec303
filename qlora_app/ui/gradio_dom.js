// Whatever reaches into the elements that Gradio makes, each with its reason. It is in the head of every page.

// A list opens on any key that its field hears, and Gradio hears Tab only after the focus has left: the list would open
// again behind it and stay open. So the field does not hear the keys that merely lead elsewhere.
const LEADING_AWAY = ['Tab', 'Shift', 'Control', 'Alt', 'Meta'];
addEventListener('keydown', event => {
  const isList = event.target instanceof Element && event.target.matches('input[role=combobox]');
  if (isList && LEADING_AWAY.includes(event.key)) event.stopImmediatePropagation();
}, true);

// The number behind a tab's name is no part of the name: Gradio's tabs have a place for words only.
const tabButton = tab => document.querySelector(`#tabs > .tab-wrapper [role=tablist] > [data-tab-id="${tab}"]`);
function guanacoCount(tab, count) {
  const button = tabButton(tab);
  if (!button) return;
  if (count) button.dataset.count = count.toLocaleString(); else delete button.dataset.count;
}

// An answer may come when its tab has been left: what it would do to the address is no longer true then.
function guanacoIsOn(tab) { return tabButton(tab)?.ariaSelected === 'true'; }

// Which of its tabs some tabs are turned to, by its name.
function guanacoTurnedTo(tabs) {
  return document.querySelector(`#${tabs} > .tab-wrapper [role=tablist] > [aria-selected=true]`)?.dataset.tabId;
}

// Files dropped on the card of the data take the way of those chosen with its button, whose field Gradio hides.
function guanacoUpload(button, files) {
  const field = button?.matches('input[type=file]') ? button : button?.parentElement.querySelector('input[type=file]');
  if (!field) return;
  field.files = files;
  field.dispatchEvent(new Event('change', {bubbles: true}));
}

// Gradio gives every option of a radio group a name of its own, so that each is a tab stop and no arrow key moves
// between them. With one name the browser does both. Options that are made anew are named again.
function guanacoOneTabStop(id) {
  const group = document.getElementById(id);
  if (!group) return;
  const name = () => group.querySelectorAll('input[type=radio]').forEach(input => {
    if (input.name !== id) { const checked = input.checked; input.name = id; input.checked = checked; }
  });
  name();
  new MutationObserver(name).observe(group, {childList: true, subtree: true});
}

// A made name is the placeholder of its empty field, so that it follows what it is made of. Who goes into the field
// finds it there as text to be changed; left as it was it is a placeholder again.
function guanacoEditMade(id) {
  const field = document.getElementById(id)?.querySelector('input, textarea');
  if (!field) return;
  const say = text => { field.value = text; field.dispatchEvent(new Event('input', {bubbles: true})); };
  field.addEventListener('focus', () => { if (!field.value && field.placeholder) say(field.placeholder); });
  field.addEventListener('blur', () => { if (field.value === field.placeholder) say(''); });
}

// The tabs of the settings' sections: Gradio turns them by their buttons only, which bear the id of what they open.
const sectionButton = panel => document.getElementById(`${panel}-button`);
function guanacoSection(panel) { sectionButton(panel)?.click(); }
function guanacoIsOpen(panel) { return sectionButton(panel)?.ariaSelected === 'true'; }
function guanacoSectionCount(panel, count) {
  const button = sectionButton(panel);
  if (!button) return;
  if (count) button.dataset.changed = count; else delete button.dataset.changed;
}
// Gradio makes what stands on a tab inside of another only when it is first opened; a search and a mistake need it all.
async function guanacoMakeSections() {
  const buttons = [...document.querySelectorAll('#sections > .tab-wrapper [role=tablist] > button')];
  let wanted = buttons[0];  // the one that a person turns to meanwhile is the one that stays
  const turn = event => { if (event.isTrusted) wanted = event.currentTarget; };
  for (const button of buttons) button.addEventListener('click', turn);
  for (const button of buttons.slice(1)) {
    button.click();
    await new Promise(done => setTimeout(done, 60));
  }
  for (const button of buttons) button.removeEventListener('click', turn);
  wanted?.click();
}
