element.addEventListener('click', e => {
  const back = e.target.closest('[data-back]');
  if (back) trigger('back', {setting: back.dataset.back});
  if (e.target.closest('[data-reset]')) trigger('reset', {});
  if (e.target.closest('[data-settings]')) trigger('settings', {});
});
