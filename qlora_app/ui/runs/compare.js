// The comparison: which curves one sees, and where its buttons lead. `element` and `trigger` come from gr.HTML.
const LEADS = ['back', 'open'];
const turn = () => { const which = element.querySelector('[name="which-curve"]:checked'); if (which) element.querySelector('.compared').dataset.curve = which.value; };
element.addEventListener('change', turn);
element.addEventListener('click', e => {
  const button = e.target.closest('button'); if (!button) return;
  if (button.dataset.do === 'back') trigger('back', {});
  if (button.dataset.run) trigger('open', {run: button.dataset.run});
});
watch('value', () => setTimeout(turn, 0));
