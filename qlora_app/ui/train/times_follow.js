// As long as this machine's speed is not known, asks for the times once more. `element` and `trigger` come from gr.HTML.
let asked = 0;
const asking = setInterval(() => {
  if (!element.querySelector('[data-unmeasured]') || asked > 40) { clearInterval(asking); return; }
  if (document.visibilityState === 'visible') { asked += 1; trigger('timed', {}); }
}, 3000);
