// The box for a question to a run that trains. What is sent stands below it at once; what is refused comes back into it.
class AskBox {
  // `send` takes the question and answers why it was refused, or ''.
  constructor(box, send) {
    this.box = box; this.field = box.querySelector('textarea'); this.refused = box.querySelector('.refused'); this.sent = box.querySelector('.sent');
    this.send = send; this.field.placeholder = word(this.field.placeholder);
    box.querySelector('form').addEventListener('submit', e => { e.preventDefault(); this.ask(); });
    this.field.addEventListener('keydown', e => { if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); this.ask(); } });
    this.field.addEventListener('input', () => { this.refused.hidden = true; });
  }
  show(may) { this.box.hidden = !may; }
  async ask() {
    const question = this.field.value.trim(); if (!question || this.busy) return;
    this.busy = true; this.field.value = ''; this.say(''); this.stand(question);
    let why;
    try { why = await this.send(question); } catch (error) { why = word('No answer from the app. Ask again.'); }
    this.busy = false;
    if (why) { this.field.value = this.field.value || question; this.say(why); this.stand(''); }
  }
  say(why) { this.refused.hidden = !why; this.refused.textContent = why; }
  stand(question) { this.sent.hidden = !question; this.sent.firstElementChild.textContent = question; }
  arrived() { if (!this.busy) this.stand(''); } // the run's own list has it now
  clear() { this.field.value = ''; this.say(''); this.stand(''); }
}
