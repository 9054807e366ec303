// The conversations of this browser: one entry each, so that two windows do not write over each other.
const PREFIX = 'guanaco-chat:';

class Shelf {
  // `storage` is localStorage, or what is like it; where a browser refuses it, conversations last as long as the page.
  constructor(storage) { this.storage = storage; this.used = new Map(); }

  key(run, number) { return `${PREFIX}${run}:${number}`; }

  // All of them, newest first.
  all() {
    const talks = [];
    for (let i = 0; i < this.storage.length; i++) {
      const key = this.storage.key(i);
      if (key?.startsWith(PREFIX)) talks.push(this.read(key));
    }
    return talks.filter(Boolean).sort((a, b) => b.at - a.at);
  }

  read(key) {
    try {
      const talk = JSON.parse(this.storage.getItem(key));
      return talk && typeof talk.run === 'string' && Array.isArray(talk.turns) ? Talk.ended(Talk.read(talk)) : null;
    } catch { return null; }
  }

  get(run, number) { return this.read(this.key(run, number)); }
  latest(run) { return this.all().find(talk => talk.run === run) || null; }

  // A number that was taken out is not given to another one.
  next(run) { return 1 + Math.max(this.used.get(run) || 0, ...this.all().filter(talk => talk.run === run).map(talk => talk.number)); }
  remove(run, number) { this.storage.removeItem(this.key(run, number)); this.used.set(run, Math.max(this.used.get(run) || 0, number)); }

  // Where another window has gone on with the same conversation, this one goes on under the next number, so that neither
  // loses a turn.
  apart(talk) {
    const kept = this.get(talk.run, talk.number), same = (one, other) => one?.split('/')[0] === other?.split('/')[0];
    const isMine = !kept?.turns.length || (kept.sides.length <= talk.sides.length && kept.turns.every((turn, i) => same(turn.asking, talk.turns[i]?.asking)));
    return isMine ? talk : {...talk, number: this.next(talk.run)};
  }

  // Without its last question, which is asked anew.
  takeBack(talk) { return this.changed(talk, mine => Talk.until(mine, mine.turns.length - 1)); }

  // With something else in it, in its place.
  changed(talk, change) {
    const other = change(this.apart(talk));
    if (other.turns.length) this.put(other);
    else this.remove(other.run, other.number);
    return other;
  }

  // Where there is no room left the oldest others go, unless even that is not enough.
  put(talk) {
    const key = this.key(talk.run, talk.number), text = JSON.stringify(talk);
    if (this.write(key, text)) return true;
    const others = this.all().filter(one => this.key(one.run, one.number) !== key), gone = [];
    while (others.length) {
      const oldest = others.pop(), place = this.key(oldest.run, oldest.number);
      gone.push([place, this.storage.getItem(place)]);
      this.storage.removeItem(place);
      if (this.write(key, text)) return true;
    }
    gone.reverse().forEach(([place, was]) => this.write(place, was));
    return false;
  }

  // Conversations of another storage, each under a number that is free here. Answers how many were not here.
  takeOver(storage) {
    const said = talk => JSON.stringify([talk.run, talk.turns]), here = new Set(this.all().map(said));
    const others = new Shelf(storage).all().filter(talk => talk.turns.length && !here.has(said(talk)));
    others.forEach(talk => this.put(this.get(talk.run, talk.number) ? {...talk, number: this.next(talk.run)} : talk));
    return others.length;
  }

  write(key, text) { try { this.storage.setItem(key, text); return true; } catch { return false; } }
}

// A full one can still be read.
function storageHere() {
  try { localStorage.getItem(PREFIX); return localStorage; } catch {
    const kept = new Map();
    return {isFleeting: true, get length() { return kept.size; }, key: i => [...kept.keys()][i], getItem: key => kept.get(key) ?? null,
      setItem: (key, text) => kept.set(key, text), removeItem: key => kept.delete(key)};
  }
}
