// What stands between the page and its server. Gradio shows why a handler refused only where the handler was queued: the
// sentences of the others are shown here.
(() => {
  const ask = window.fetch.bind(window);
  window.fetch = async (...about) => {
    const answer = await ask(...about);
    if (answer.headers.has('x-pause')) guanacoServer.pause = Number(answer.headers.get('x-pause'));
    if (answer.headers.has('x-version') && answer.headers.get('x-version') !== guanacoServer.version) sayOld();
    if (answer.status === 500 && answer.url.includes('/run/predict'))
      answer.clone().json().then(({error}) => error && show(asText(error)), () => {});
    return answer;
  };

  // The app behind this page was upgraded: what its scripts ask for may be called otherwise there. Nothing is loaded anew
  // before a person wants it, for what they typed would be gone.
  function sayOld() {
    if (document.querySelector('.upgraded')) return;
    const isGerman = document.documentElement.lang === 'de', place = document.createElement('div');
    place.className = 'refused upgraded';
    place.setAttribute('role', 'alert');
    place.textContent = isGerman
      ? 'Die App wurde erneuert, und diese Seite ist noch die alte. Getipptes bleibt, bis sie neu geladen wird.'
      : 'The app was upgraded, and this page is still the old one. What you typed stays until it is loaded again.';
    const load = document.createElement('button');
    load.type = 'button';
    load.textContent = isGerman ? 'Neu laden' : 'Load again';
    load.onclick = () => location.reload();
    place.append(load);
    document.body.append(place);
  }

  // It comes escaped, because Gradio draws it as HTML. A textarea runs nothing of it.
  function asText(escaped) {
    const text = document.createElement('textarea');
    text.innerHTML = escaped;
    return text.value;
  }

  function show(sentence) {
    document.querySelectorAll('.refused:not(.upgraded)').forEach(one => one.remove());
    const place = document.createElement('div');
    place.className = 'refused';
    place.setAttribute('role', 'alert');
    place.textContent = sentence;
    const close = document.createElement('button');
    close.type = 'button';
    close.textContent = '×';
    close.setAttribute('aria-label', document.documentElement.lang === 'de' ? 'Schließen' : 'Close');
    close.onclick = () => place.remove();
    place.append(close);
    document.body.append(place);
    setTimeout(() => place.remove(), 15000);
  }
})();
