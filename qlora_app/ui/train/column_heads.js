// The heads of the table say which column is what. What the page answers counts, also where a choice was changed by hand.
element.addEventListener('change', event => {
  const head = event.target.closest('select[data-column]');
  if (head) trigger('mean', {column: head.dataset.column, is: head.value});
});
watch('value', () => {
  for (const head of element.querySelectorAll('select[data-column]')) head.value = head.dataset.is;
});
