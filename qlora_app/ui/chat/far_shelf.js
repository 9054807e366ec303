// Conversations that the server keeps for whoever has logged in, so that they follow to another browser. It is read like
// localStorage, from what was told last; what is written goes to the server one after the other, and lies in the browser
// until the server has it.
const UNSENT = 'guanaco-unsent:', TAKEN = 'guanaco-taken-over:';

class FarStorage {
  // `server`: kept(asked), keep(asked), as in kept.py. `ways`: {clash(key, mine, theirs), said(words)}. `here`: the
  // browser's own storage.
  constructor(server, ways, here) {
    this.server = server; this.ways = ways; this.here = here;
    this.texts = new Map(); this.versions = new Map(); this.changed = new Set(); this.sending = null;
    this.who = ''; this.looks = new Set(); this.isRefused = false;
  }

  get length() { return this.texts.size; }
  key(i) { return [...this.texts.keys()][i]; }
  getItem(key) { return this.texts.get(key) ?? null; }
  setItem(key, text) { this.texts.set(key, text); this.note(key); this.send(key); }
  removeItem(key) { this.texts.delete(key); this.note(key); this.send(key); }

  // What other windows have written since. Answers whether the server told it.
  async look() {
    for (let more = true; more;) {
      const have = Object.fromEntries([...this.versions].map(([key, version]) => [FarStorage.short(key), version]));
      const written = new Set(this.changed); // of these the answer may tell what was there before
      this.looks.add(written);
      const told = await this.server.kept({have}).catch(() => null);
      this.looks.delete(written);
      if (!told?.keys) return false;
      this.take(told, written);
      more = told.more;
    }
    return true;
  }

  take(told, written) {
    const there = new Set(told.keys.map(FarStorage.long));
    for (const [short, {text, version}] of Object.entries(told.talks)) {
      const key = FarStorage.long(short);
      if (!written.has(key)) { this.texts.set(key, text); this.versions.set(key, version); }
    }
    for (const key of [...this.versions.keys()])
      if (!there.has(key) && !written.has(key)) { this.texts.delete(key); this.versions.delete(key); }
    if (!this.who) { this.who = told.who; this.takeUp(); }
  }

  send(key) {
    this.changed.add(key);
    this.looks.forEach(written => written.add(key));
    this.sending ||= this.sendAll();
  }

  async sendAll() {
    while (this.changed.size) {
      const next = this.changed.values().next().value;
      if (!await this.sendOne(next)) await new Promise(done => setTimeout(done, 3000));
    }
    this.sending = null;
  }

  // Was it written, or is it not to be?
  async sendOne(key) {
    const text = this.texts.get(key) ?? null;
    const told = await this.server.keep({key: FarStorage.short(key), text, version: this.versions.get(key) || ''}).catch(() => null);
    if (!told) { this.ways.said('The app does not answer. This conversation is kept as soon as it does.'); return false; }
    const isNewest = (this.texts.get(key) ?? null) === text;
    if (told.problem || isNewest) this.changed.delete(key);
    this.ways.said(told.problem || '');
    this.isRefused ||= !!told.problem;
    if (told.problem) return true;
    if (told.version) this.versions.set(key, told.version); else this.versions.delete(key);
    if (isNewest) this.here.removeItem(this.unsent(key)); else this.note(key);
    if (told.theirs === undefined) return true;
    const mine = this.texts.get(key) ?? null;
    this.changed.delete(key);
    this.here.removeItem(this.unsent(key));
    if (told.theirs === null) this.texts.delete(key); else this.texts.set(key, told.theirs);
    if (!FarStorage.holds(told.theirs, mine)) this.ways.clash(key, mine, told.theirs);
    return true;
  }

  // ---- what the server does not have yet

  unsent(key) { return `${UNSENT}${this.who}:${FarStorage.short(key)}`; }

  note(key) {
    const kept = {text: this.texts.get(key) ?? null, version: this.versions.get(key) || ''};
    try { this.here.setItem(this.unsent(key), JSON.stringify(kept)); } catch { /* no room: it is sent all the same */ }
  }

  // Of a page that was closed before the server had it.
  takeUp() {
    const mine = `${UNSENT}${this.who}:`;
    for (const name of FarStorage.namesIn(this.here).filter(one => one.startsWith(mine))) {
      const key = FarStorage.long(name.slice(mine.length));
      try {
        const {text, version} = JSON.parse(this.here.getItem(name));
        if (text === null) this.texts.delete(key); else this.texts.set(key, text);
        if (version) this.versions.set(key, version); else this.versions.delete(key);
        this.send(key);
      } catch { this.here.removeItem(name); }
    }
  }

  // Once for each who logs in: what was said here before is theirs too. `copy(here)` puts it on this shelf and says how
  // many conversations it was. It stays in the browser.
  async takeOver(copy) {
    if (this.here.getItem(TAKEN + this.who)) return 0;
    this.isRefused = false;
    const count = copy(this.here);
    await this.sending;
    if (!this.isRefused) try { this.here.setItem(TAKEN + this.who, '1'); } catch { /* it is tried again */ }
    return this.isRefused ? 0 : count;
  }

  // Is all that one text of a conversation says in another one?
  static holds(whole, part) {
    const {turns} = JSON.parse(whole || '{"turns":[]}'), text = answer => answer?.text || '';
    return part === null || JSON.parse(part).turns.every((turn, i) => turn.asking === turns[i]?.asking
      && turn.answers.every((answer, place) => text(turns[i].answers[place]).startsWith(text(answer))));
  }

  static namesIn(storage) { return Array.from({length: storage.length}, (_, i) => storage.key(i)).filter(Boolean); }
  static short(key) { return key.slice(PREFIX.length); }
  static long(key) { return PREFIX + key; }
}
