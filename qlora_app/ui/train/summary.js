element.addEventListener('click', e => {
  if (e.target.closest('[data-settings]')) trigger('settings', {});
});
