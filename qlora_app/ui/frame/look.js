// Light, dark, or as the system has it. In the head of the page, so that it is known before anything is drawn. Gradio
// has a class for dark, which it sets by the system and by `?__theme=`; a choice made here is remembered in the browser.
const guanacoLook = (() => {
  const KEY = 'guanaco-look', ORDER = ['system', 'light', 'dark'];
  const system = matchMedia('(prefers-color-scheme: dark)');
  let chosen = remembered();

  function remembered() {
    try { const kept = localStorage.getItem(KEY); return ORDER.includes(kept) ? kept : 'system'; } catch { return 'system'; }
  }

  function isDark() {
    const asked = new URLSearchParams(location.search).get('__theme');
    const look = ['light', 'dark'].includes(asked) ? asked : chosen;
    return look === 'system' ? system.matches : look === 'dark';
  }

  function apply() {
    const dark = isDark();
    document.documentElement.classList.toggle('is-dark', dark);
    if (document.body && document.body.classList.contains('dark') !== dark) document.body.classList.toggle('dark', dark);
  }

  function choose(look) {
    chosen = look;
    try { localStorage.setItem(KEY, look); } catch { /* it lasts as long as the page, then */ }
    const query = new URLSearchParams(location.search);
    if (query.has('__theme')) { query.delete('__theme'); history.replaceState(null, '', '?' + query); }
    apply();
  }

  apply();
  document.addEventListener('DOMContentLoaded', () => {
    apply();
    new MutationObserver(apply).observe(document.body, {attributes: true, attributeFilter: ['class']});
  });
  system.addEventListener('change', apply);
  return {chosen: () => chosen, choose, next: look => ORDER[(ORDER.indexOf(look) + 1) % ORDER.length]};
})();
