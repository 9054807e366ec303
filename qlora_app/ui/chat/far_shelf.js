// Conversations that the server keeps for whoever has logged in, so that they follow to another browser. It is read like
// localStorage, from what was told last; what is written goes to the server one after the other.
class FarStorage {
  // `server`: kept(asked), keep(asked), as in kept.py. `ways`: {clash(key, mine, theirs), said(words)}.
  constructor(server, ways) {
    this.server = server; this.ways = ways;
    this.texts = new Map(); this.versions = new Map(); this.changed = new Set(); this.sending = false;
  }

  get length() { return this.texts.size; }
  key(i) { return [...this.texts.keys()][i]; }
  getItem(key) { return this.texts.get(key) ?? null; }
  setItem(key, text) { this.texts.set(key, text); this.send(key); }
  removeItem(key) { this.texts.delete(key); this.send(key); }

  // What other windows have written since. Answers whether the server told it.
  async look() {
    for (let more = true; more;) {
      const have = Object.fromEntries([...this.versions].map(([key, version]) => [FarStorage.short(key), version]));
      const told = await this.server.kept({have}).catch(() => null);
      if (!told?.keys) return false;
      this.take(told);
      more = told.more;
    }
    return true;
  }

  take(told) {
    const there = new Set(told.keys.map(FarStorage.long));
    for (const [short, {text, version}] of Object.entries(told.talks)) {
      const key = FarStorage.long(short);
      if (!this.changed.has(key)) { this.texts.set(key, text); this.versions.set(key, version); }
    }
    for (const key of [...this.versions.keys()])
      if (!there.has(key) && !this.changed.has(key)) { this.texts.delete(key); this.versions.delete(key); }
  }

  async send(key) {
    this.changed.add(key);
    if (this.sending) return;
    this.sending = true;
    while (this.changed.size) {
      const next = this.changed.values().next().value;
      if (!await this.sendOne(next)) await new Promise(done => setTimeout(done, 3000));
    }
    this.sending = false;
  }

  // Was it written, or is it not to be?
  async sendOne(key) {
    const text = this.texts.get(key) ?? null;
    const told = await this.server.keep({key: FarStorage.short(key), text, version: this.versions.get(key) || ''}).catch(() => null);
    if (!told) { this.ways.said('The app does not answer. This conversation is kept as soon as it does.'); return false; }
    const isNewest = (this.texts.get(key) ?? null) === text;
    if (told.problem || isNewest) this.changed.delete(key);
    this.ways.said(told.problem || '');
    if (told.problem) return true;
    if (told.version) this.versions.set(key, told.version); else this.versions.delete(key);
    if (told.theirs === undefined) return true;
    const mine = this.texts.get(key) ?? null;
    this.changed.delete(key);
    if (told.theirs === null) this.texts.delete(key); else this.texts.set(key, told.theirs);
    this.ways.clash(key, mine, told.theirs);
    return true;
  }

  static short(key) { return key.slice(PREFIX.length); }
  static long(key) { return PREFIX + key; }
}
