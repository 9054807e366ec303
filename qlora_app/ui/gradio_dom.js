// What reaches into Gradio's own elements, each with the reason why.

// Gradio gives every option of a radio group a name of its own, so that each is a tab stop and no arrow key moves
// between them. With one name the browser does both. Options that are made anew are named again.
function oneTabStop(id) {
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
function editMade(id) {
  const field = document.getElementById(id)?.querySelector('input, textarea');
  if (!field) return;
  const say = text => { field.value = text; field.dispatchEvent(new Event('input', {bubbles: true})); };
  field.addEventListener('focus', () => { if (!field.value && field.placeholder) say(field.placeholder); });
  field.addEventListener('blur', () => { if (field.value === field.placeholder) say(''); });
}
