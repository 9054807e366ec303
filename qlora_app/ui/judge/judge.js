// While a judge works its page comes anew; what it costs changes with what is typed.
(() => {
  const main = document.querySelector('main'), form = document.querySelector('form[data-cost]');
  if (main && 'moving' in main.dataset) setTimeout(() => location.reload(), 3000);
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
