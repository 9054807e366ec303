// The box for the next message: Enter sends, Shift and Enter begin a line, and an Enter that ends the writing of a
// character (as in Japanese) does neither.
class Composer {
  constructor(form, send) {
    this.form = form; this.box = form.querySelector('textarea'); this.send = send;
    form.addEventListener('submit', e => { e.preventDefault(); this.submit(); });
    this.box.addEventListener('keydown', e => { if (sends(e)) { e.preventDefault(); this.submit(); } });
    this.box.addEventListener('input', () => this.fit());
  }

  submit() {
    const text = this.box.value.trim();
    this.box.focus();
    if (!text) return;
    this.box.value = ''; this.fit();
    this.send(text);
  }

  fit() { this.box.style.height = 'auto'; this.box.style.height = Math.min(this.box.scrollHeight + 2, 180) + 'px'; }
  putBack(text) { this.box.value = [text, this.box.value].filter(Boolean).join('\n'); this.fit(); }
}

const sends = e => e.key === 'Enter' && !e.shiftKey && !e.isComposing && e.keyCode !== 229;
