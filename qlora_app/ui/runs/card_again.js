// The form of Train again, made of the template that stands among the card's buttons; of `run()`. `say` is called with
// ('again', {}) for all settings on the form, or ('repeat', {set}) with what is to be another value.
class AgainForm {
  constructor(place, run, say) {
    this.place = place; this.say = say; this.key = () => `again ${run()}`;
    place.addEventListener('input', () => guanacoKeep(this.key(), {fields: guanacoFields(place)}));
    place.addEventListener('submit', e => { e.preventDefault(); this.start(); });
    place.addEventListener('keydown', e => { if (e.key === 'Escape') { e.stopPropagation(); this.close(true); } });
    place.addEventListener('click', e => {
      if (e.target.closest('[data-all]')) { this.close(false); say('again', {}); }
      if (e.target.closest('[data-close]')) { guanacoForget(this.key()); this.close(true); }
    });
  }

  open(template, button) {
    if (!this.place.hidden) return this.close(true);
    this.button = button;
    this.place.replaceChildren(template.content.cloneNode(true)); this.place.hidden = false;
    guanacoFill(this.place, guanacoKept(this.key())?.fields);
    button.setAttribute('aria-expanded', 'true');
    const first = this.place.querySelector('input, select');
    first?.focus(); first?.select?.();
    this.place.scrollIntoView({block: 'nearest'});
  }

  close(isBack) {
    if (this.place.hidden) return;
    this.place.hidden = true; this.place.replaceChildren();
    const button = this.button?.isConnected ? this.button : document.querySelector('[data-do=again]');
    button?.setAttribute('aria-expanded', 'false');
    if (isBack) button?.focus();
  }

  // A second Enter while the first is answered is no second wish.
  start() {
    const now = Date.now();
    if (now - (this.started || 0) < 2000) return;
    this.started = now;
    this.say('repeat', {set: changedFields(this.place.querySelectorAll('[name]'))});
  }
}

// {name: value} of the fields that hold another value than they had.
function changedFields(fields) {
  const changed = {};
  for (const one of fields) {
    const before = one.options ? [...one.options].find(option => option.defaultSelected)?.value : one.defaultValue;
    if (one.value.trim() !== before) changed[one.name] = one.value.trim();
  }
  return changed;
}
