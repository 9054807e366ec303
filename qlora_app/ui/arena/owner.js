// How an arena stands, while people vote.
(() => {
  const live = document.getElementById('live'), address = document.querySelector('main').dataset.live;
  const link = document.querySelector('.link');
  if (link) link.addEventListener('focus', () => link.select());
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const sent = await (await fetch(address)).json();
      if (sent.html && sent.html !== live.dataset.last) { live.innerHTML = live.dataset.last = sent.html; }
    } catch { /* it is asked again */ }
  }, 3000);
})();
