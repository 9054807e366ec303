// What is being typed and not yet sent or kept: it lies in this browser, each under the name of where it is typed, so that a
// reload finds it again.
class Drafts {
  // `storage` is localStorage, or what is like it; `who()` has logged in, and nobody else is shown what they typed.
  constructor(storage, who) { this.storage = storage; this.who = who; this.message = ''; }

  key(name) { return `guanaco-draft:${this.who()}:${name}`; }
  get(name) { return this.storage.getItem(this.key(name)) || ''; }
  remove(name) { this.storage.removeItem(this.key(name)); }

  put(name, text) {
    if (!text) { this.remove(name); return; }
    try { this.storage.setItem(this.key(name), text); } catch { /* no room: it lasts as long as the page */ }
  }

  // The next message, with the conversation in whose box it stands now: it goes along from one to another.
  putMessage({run, number}, text) {
    const name = `${run}:${number}`;
    if (this.message && this.message !== name) this.remove(this.message);
    this.message = name;
    this.put(name, text);
  }

  // What was typed in the box of a conversation, where it does not stand there already.
  messageOf({run, number}) {
    const name = `${run}:${number}`;
    return this.message === name ? '' : this.get(name);
  }
}
