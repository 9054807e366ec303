// While a judge works what it found comes anew, and the form stays as it is; what it costs changes with what is typed.
(() => {
  const form = document.querySelector('form[data-cost]');
  const look = async () => {
    const found = document.querySelector('.found');
    if (!found || !('moving' in found.dataset)) return;
    try {
      const text = await (await fetch(location.href)).text();
      const fresh = new DOMParser().parseFromString(text, 'text/html').querySelector('.found');
      if (fresh && !found.contains(document.activeElement)) found.replaceWith(fresh);
    } catch { /* it is asked again */ }
    setTimeout(look, 3000);
  };
  setTimeout(look, 3000);
  if (!form) return;
  const cost = document.getElementById('cost'), start = form.querySelector('button.main');
  let last = 0, waits = 0;
  const ask = async () => {
    const mine = ++last;
    try {
      const told = await (await fetch(`${form.dataset.cost}?${new URLSearchParams(new FormData(form))}`)).json();
      if (mine !== last) return;
      cost.textContent = told.said; start.disabled = !told.starts;
    } catch { /* it is asked again with the next letter */ }
  };
  form.addEventListener('input', () => { clearTimeout(waits); waits = setTimeout(ask, 400); });
})();
