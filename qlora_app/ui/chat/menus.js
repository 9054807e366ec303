// A button that opens a list: it closes with Escape, with a click elsewhere, and when the focus leaves.
class Menu {
  constructor(place, opened = () => {}) {
    this.place = place; this.button = place.querySelector('.open'); this.list = place.querySelector('.list');
    this.button.addEventListener('click', () => this.list.hidden ? this.open(opened) : this.close());
    place.addEventListener('keydown', e => { if (e.key === 'Escape' && !this.list.hidden) { this.close(); this.button.focus(); } });
    place.addEventListener('focusout', e => { if (e.relatedTarget && !place.contains(e.relatedTarget)) this.close(); });
    document.addEventListener('pointerdown', e => { if (!place.contains(e.target)) this.close(); });
  }

  open(opened) { this.list.hidden = false; this.button.setAttribute('aria-expanded', 'true'); opened(); }
  close() { this.list.hidden = true; this.button.setAttribute('aria-expanded', 'false'); }
}

// Whom to talk to: a button with a list of runs.
class Picker {
  constructor(place, find, choose) {
    this.menu = new Menu(place, () => this.list.look(true));
    this.list = new RunList(place.querySelector('input'), place.querySelector('[role=listbox]'), find,
      (run, title) => { this.menu.close(); choose(run, title); }, () => !this.menu.list.hidden);
  }
}

// A box to search runs with, and what was found; the arrows go through it.
class RunList {
  static count = 0;

  constructor(box, found, find, choose, isOpen = () => box.isConnected) {
    this.box = box; this.found = found; this.find = find; this.choose = choose; this.isOpen = isOpen;
    this.found.id = `runs-to-talk-to-${++RunList.count}`; this.box.setAttribute('aria-controls', this.found.id);
    this.most = 60; this.at = 0; this.asked = 0;
    this.box.addEventListener('input', () => { clearTimeout(this.soon); this.soon = setTimeout(() => this.look(), 150); });
    this.box.addEventListener('keydown', e => this.key(e));
    this.found.addEventListener('click', e => { const one = e.target.closest('[data-run]'); if (one) this.take(one); });
    this.found.addEventListener('scroll', () => this.atEnd() && this.more());
  }

  async look(isFresh = false) {
    if (isFresh) { this.box.value = ''; this.box.focus(); }
    this.most = 60; this.at = 0;
    await this.ask();
  }

  async more() { if (!this.hasMore) return; this.hasMore = false; this.most += 60; await this.ask(); }

  async ask() {
    const asked = ++this.asked;
    for (let tries = 1; tries <= 60; tries++) {
      const answer = await this.find({words: this.box.value, most: this.most}).catch(() => null);
      if (asked !== this.asked) return;
      const isHalf = !!answer?.more && answer.rows.length < this.most; // it goes on where it ended
      this.show(answer, isHalf);
      if (!isHalf || !this.isOpen()) return;
    }
  }

  show(answer, isHalf) {
    this.hasMore = !!answer?.more;
    const rows = (answer?.rows || []).map((row, i) => this.row(row, i));
    this.found.replaceChildren(...(rows.length ? rows : [make('p', {class: 'quiet'}, RunList.nothing(answer, isHalf))]));
    this.mark(Math.min(this.at, rows.length - 1));
  }

  // Why no run is listed.
  static nothing(answer, isHalf) {
    if (!answer) return word('The app does not answer. Try again.');
    return isHalf ? word('Looking…') : word('No run is called that.');
  }

  row(run, i) {
    const words = [run.differs, run.base, run.state, run.when].filter(Boolean).join(' · ');
    return make('div', {role: 'option', 'data-run': run.run, id: `${this.found.id}-${i}`, 'aria-selected': 'false', translate: 'no'},
      make('b', {}, run.title), make('span', {class: 'quiet'}, words));
  }

  mark(at) {
    const rows = [...this.found.querySelectorAll('[role=option]')];
    this.at = Math.max(0, Math.min(at, rows.length - 1));
    rows.forEach((row, i) => row.setAttribute('aria-selected', String(i === this.at)));
    const one = rows[this.at];
    if (one) { this.box.setAttribute('aria-activedescendant', one.id); one.scrollIntoView({block: 'nearest'}); }
    else this.box.removeAttribute('aria-activedescendant');
  }

  key(e) {
    if (e.key === 'ArrowDown' || e.key === 'ArrowUp') { e.preventDefault(); this.mark(this.at + (e.key === 'ArrowDown' ? 1 : -1)); }
    if (e.key !== 'Enter' || e.isComposing) return;
    e.preventDefault();
    const one = this.found.querySelector('[aria-selected=true]');
    if (one) this.take(one);
  }

  atEnd() { return this.found.scrollTop + this.found.clientHeight > this.found.scrollHeight - 80; }
  take(one) { this.choose(one.dataset.run, one.querySelector('b').textContent); }
}
