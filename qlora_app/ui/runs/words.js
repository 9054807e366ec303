// Texts and figures in the visitor's language. `TEXTS` stands in front of this: {language: {text: the same in it}}.
const LANGUAGE = Object.keys(TEXTS).find(name => name === navigator.language.toLowerCase().split('-')[0]) || 'en';
const word = (text, values = {}) => (TEXTS[LANGUAGE]?.[text] || text).replace(/{(\w+)}/g, (_, name) => values[name]);
const figure = (number, digits = 0) => number.toLocaleString(LANGUAGE, {minimumFractionDigits: digits, maximumFractionDigits: digits});
const lossFigure = loss => figure(loss, loss >= 0.1 ? 2 : 3); // a small loss is not zero, and does not read like it
const powerFigure = number => (number ? number.toExponential(1).replace('.0e', 'e').replace('e+', 'e') : '0'); // 2e-3

// What stands in a template, and what its elements are called: in place, so that what is typed into it stays.
function speak(place) {
  const standing = document.createTreeWalker(place, NodeFilter.SHOW_TEXT), oneLine = text => text.trim().replace(/\s+/g, ' ');
  while (standing.nextNode()) {
    const node = standing.currentNode, text = oneLine(node.data);
    if (text && !node.parentElement.closest('[translate=no]')) node.data = node.data.replace(node.data.trim(), () => word(text));
  }
  for (const name of ['aria-label', 'placeholder', 'title', 'data-any'])
    place.querySelectorAll(`[${name}]`).forEach(one => one.setAttribute(name, word(oneLine(one.getAttribute(name)))));
}
