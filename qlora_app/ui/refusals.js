// What stands between the page and its server. Gradio shows why a handler refused only where the handler was queued: the
// sentences of the others are shown here.
(() => {
  const ask = window.fetch.bind(window);
  window.fetch = async (...about) => {
    const answer = await ask(...about);
    if (answer.headers.has('x-pause')) guanacoServer.pause = Number(answer.headers.get('x-pause'));
    if (answer.status === 500 && answer.url.includes('/run/predict'))
      answer.clone().json().then(({error}) => error && show(asText(error)), () => {});
    return answer;
  };

  // It comes escaped, because Gradio draws it as HTML. A textarea runs nothing of it.
  function asText(escaped) {
    const text = document.createElement('textarea');
    text.innerHTML = escaped;
    return text.value;
  }

  function show(sentence) {
    document.querySelectorAll('.refused').forEach(one => one.remove());
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
