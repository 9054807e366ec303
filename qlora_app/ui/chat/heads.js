// Above each column who answers there, and a menu to change it. `ways`: {who(sides), find(asked), use(place, side), add(),
// remove(place), swap(place), named()}; what is known of a side is asked once.
const MOST_SIDES = 4;

// What one says of itself that none of the others says; "" where that is nothing.
const tellsApart = (one, others, names) => one[names.find(name => one[name] && others.every(other => other[name] !== one[name]))] || '';

class Heads {
  constructor(place, ways) { this.place = place; this.ways = ways; this.known = new Map(); this.sides = []; this.menus = []; }

  show(sides, partner) {
    this.sides = sides; this.partner = partner;
    this.draw();
    this.learn();
  }

  facts(side) {
    const {title, base, differs, when} = this.partner || {}, mine = side.run === this.partner?.run ? {title, base, differs, when} : {};
    return {run: side.run, title: side.run, base: '', steps: [], checksum: '', ...mine, ...this.known.get(JSON.stringify(side))};
  }

  name(side) {
    const {title, base} = this.facts(side);
    if (side.who === 'base') return base ? `${word('Base')} · ${base}` : word('Base');
    return side.who === 'mix' ? word('Mix') : title;
  }

  // Of all columns, each another one: what tells it from those that are called alike stands behind a name.
  names() {
    const names = this.sides.map(side => [this.name(side), this.alike(side).length ? this.words(side) : ''].filter(Boolean).join(' · '));
    return names.map((name, i) => names.indexOf(name) === names.lastIndexOf(name) ? name : `${name} (${i + 1})`);
  }

  alike(side) { return this.sides.filter(other => other !== side && this.name(other) === this.name(side)); }

  // What tells its run from other runs that are called alike.
  apart(side) {
    const others = this.alike(side).filter(other => other.run !== side.run).map(other => this.facts(other));
    if (!others.length || side.who === 'mix') return '';
    return tellsApart(this.facts(side), others, [...(side.who === 'base' ? ['title'] : []), 'differs', 'when', 'run']);
  }

  // What is not as usual.
  words(side) {
    const {base, problem} = this.facts(side), words = [problem, this.apart(side)];
    if (side.checkpoint !== undefined) words.push(word('step {n}', {n: figure(side.checkpoint)}));
    if (side.strength !== undefined) words.push(`× ${figure(side.strength, 2)}`);
    if (side.who === 'mix') words.push(this.mixed(side));
    if (side.temperature !== undefined) words.push(word('temperature {n}', {n: side.temperature}));
    if (side.who !== 'base' && base !== this.partner?.base) words.push(base);
    return words.filter(Boolean).join(' · ');
  }

  // "one 0.70 + other 0.30"
  mixed(side) {
    return (side.mix || []).map(({weight}, i) => `${this.partNames(side)[i]} ${figure(weight, 2)}`).join(' + ');
  }

  // What the adapters of a mix are called, each another one.
  partNames(side) {
    const parts = (side.mix || []).map(({run, checkpoint}, i) => ({title: run, ...this.facts(side).parts?.[i], run, checkpoint}));
    return parts.map(part => {
      const others = parts.filter(other => other.run !== part.run && other.title === part.title);
      const step = part.checkpoint === undefined ? '' : word('step {n}', {n: figure(part.checkpoint)});
      return [part.title, others.length ? tellsApart(part, others, ['differs', 'when', 'run']) : '', step].filter(Boolean).join(' · ');
    });
  }

  async learn(sides = this.sides) {
    const missing = sides.filter(side => !this.known.has(JSON.stringify(side)));
    if (!missing.length) return;
    const facts = await this.ways.who(missing).catch(() => []);
    facts.forEach((one, i) => this.known.set(JSON.stringify(missing[i]), one));
    if (this.menus.every(menu => menu.list.hidden)) this.draw();
    this.ways.named();
  }

  // An answer came from another file than the one that was there before: the run goes on training.
  check(place, checksum) {
    const side = this.sides[place], key = JSON.stringify(side), facts = this.facts(side);
    if (!checksum || checksum === (side.who === 'mix' ? facts.answered : facts.checksum)) return;
    if (side.who !== 'mix') { this.known.set(key, {...facts, checksum}); this.draw(); return; }
    if (!facts.answered) { this.known.set(key, {...facts, answered: checksum}); return; }
    this.known.delete(key); this.learn([side]); // a file of its parts is another one now
  }

  draw() {
    this.menus = [];
    this.place.style.setProperty('--columns', this.sides.length);
    this.place.replaceChildren(...this.sides.map((side, place) => this.head(side, place)));
  }

  head(side, place) {
    const {checksum, parts} = this.facts(side), words = this.words(side), name = this.name(side);
    const sums = (parts || []).map(part => `${part.title}: SHA-256 ${part.checksum}`);
    const open = make('button', {type: 'button', class: 'open', 'aria-expanded': 'false', 'aria-label': word('Change column {n}', {n: place + 1}),
      translate: 'no', title: [name, words, ...sums].filter(Boolean).join(' · ')}, make('b', {}, name), make('span', {class: 'words'}, words));
    const menu = make('div', {class: 'menu'}, open, make('div', {class: 'list'}));
    menu.lastChild.hidden = true;
    const head = make('section', {class: 'head', 'data-who': side.who}, menu);
    if (checksum) head.append(make('code', {class: 'sum', translate: 'no', title: word('SHA-256 of adapter_model.safetensors: {sum}', {sum: checksum})}, checksum.slice(0, 8)));
    if (place === this.sides.length - 1 && this.sides.length < MOST_SIDES)
      head.append(make('button', {type: 'button', class: 'add', 'data-do': 'add-column', 'aria-label': word('Add a column'), title: word('Add a column')}, '+'));
    this.menus.push(new Menu(menu, () => this.fill(menu, side, place)));
    return head;
  }

  // The menu of a column: nothing changes before it is used.
  async fill(menu, side, place) {
    const form = new SideForm(side, this, place);
    menu.querySelector('.list').replaceChildren(form.place);
    await form.draw();
    form.place.querySelector('select').focus();
  }

  close(place) { this.menus[place].close(); this.menus[place].button.focus(); }
}

// Who is to answer in a column: chosen step by step, then used at once.
class SideForm {
  constructor(side, heads, at) {
    this.side = {...side}; this.heads = heads; this.at = at;
    this.place = make('form', {class: 'side'});
    this.place.addEventListener('submit', e => { e.preventDefault(); heads.close(at); heads.ways.use(at, this.side); });
  }

  // Only when all is known of it: a run that is searched for meanwhile would be lost.
  async draw() {
    const drawn = this.drawn = {};
    await this.heads.learn([this.side]);
    if (drawn !== this.drawn) return;
    const controls = () => [...this.place.querySelectorAll('select, input, button')], at = controls().indexOf(document.activeElement);
    this.fill();
    if (at >= 0) controls()[at]?.focus();
  }

  fill() {
    const {steps, title, oneStrength} = this.heads.facts(this.side), count = this.heads.sides.length;
    const kinds = [['run', word('Adapter')], ['base', word('Base')], ['mix', word('Mix of adapters')]], endpoints = this.heads.partner?.endpoints || [];
    if (endpoints.length) kinds.push(['endpoint', word('An endpoint elsewhere')]);
    const parts = [this.field(word('Who answers'), this.select(kinds, this.side.who, who => this.change({who})))];
    if (this.side.who === 'endpoint')
      parts.push(this.field(word('Endpoint'), this.select(endpoints.map(name => [name, name]), this.side.endpoint, endpoint => this.change({endpoint}))));
    else if (this.side.who === 'mix') parts.push(...this.mix());
    else parts.push(this.runs(title, run => this.change({run, checkpoint: undefined})));
    if (this.side.who === 'run' && steps.length) parts.push(this.saved(steps, this.side.checkpoint, checkpoint => this.change({checkpoint})));
    if (this.side.who === 'run') parts.push(this.strength(oneStrength));
    parts.push(this.temperature());
    const deeds = make('div', {class: 'deeds'}, make('button', {type: 'submit', class: 'use'}, word('Use it')));
    if (count > 1) deeds.append(button('swap-column', word('Swap'), {'data-place': this.at}), button('remove-column', word('Remove'), {'data-place': this.at}));
    this.place.replaceChildren(...parts, deeds);
  }

  change(other) {
    for (const [name, value] of Object.entries(other)) {
      if (value === undefined) delete this.side[name]; else this.side[name] = value;
    }
    if (this.side.who !== 'run') { delete this.side.checkpoint; delete this.side.strength; }
    if (this.side.who !== 'endpoint') delete this.side.endpoint;
    else this.side.endpoint ||= this.heads.partner.endpoints[0];
    if (this.side.who !== 'mix') delete this.side.mix;
    else this.side.mix ||= [{run: this.side.run, weight: 1}];
    this.draw();
  }

  field(name, control) { return make('label', {}, make('span', {}, name), control); }

  select(options, chosen, changed) {
    const select = make('select', {}, ...options.map(([value, words]) => make('option', {value, translate: 'no'}, words)));
    select.value = chosen;
    select.addEventListener('change', () => changed(select.value));
    return select;
  }

  temperature() {
    const box = make('input', {type: 'number', min: 0, max: 2, step: 0.1, placeholder: word('As in the settings')});
    box.value = this.side.temperature ?? '';
    box.addEventListener('input', () => { if (box.value === '') delete this.side.temperature; else this.side.temperature = +box.value; });
    return this.field(word('Temperature'), box);
  }

  // 0 is the base, 1 the adapter as it was trained.
  strength(oneStrength) {
    if (oneStrength) return make('p', {class: 'quiet'}, oneStrength);
    return this.slider(word('Strength'), this.side.strength ?? 1, 0, value => { if (value === 1) delete this.side.strength; else this.side.strength = value; });
  }

  // Which of a run's checkpoints; undefined for the newest.
  saved(steps, chosen, changed) {
    const options = [['', word('Newest')], ...steps.map(step => [String(step), word('Step {n}', {n: figure(step)})])];
    return this.field(word('Checkpoint'), this.select(options, String(chosen ?? ''), step => changed(step === '' ? undefined : +step)));
  }

  slider(name, value, least, changed) {
    const range = make('input', {type: 'range', min: least, max: 2, step: 0.05, 'aria-label': name}), shown = make('output', {}, figure(value, 2));
    range.value = value;
    range.addEventListener('input', () => { shown.textContent = figure(+range.value, 2); changed(+range.value); });
    return make('div', {class: 'slider'}, make('span', {'aria-hidden': 'true'}, name), range, shown);
  }

  // Each adapter with its weight; the sum is what is added to the base.
  mix() {
    const {parts} = this.heads.facts(this.side), {mix} = this.side, names = this.heads.partNames(this.side);
    const rows = mix.flatMap(({run, weight, checkpoint}, i) => {
      const title = parts?.[i] ? names[i] : this.heads.facts({who: 'run', run}).title;
      const remove = make('button', {type: 'button', 'aria-label': word('Take {name} out', {name: title})}, '✕');
      remove.addEventListener('click', () => this.change({mix: mix.filter((_, other) => other !== i)}));
      const share = make('div', {class: 'share'}, this.slider(title, weight, -2, value => { this.side.mix = put(this.side.mix, i, {...this.side.mix[i], weight: value}); }), remove);
      const steps = parts?.[i]?.steps || [];
      return steps.length ? [share, this.saved(steps, checkpoint, step => this.change({mix: put(this.side.mix, i, {...this.side.mix[i], checkpoint: step})}))] : [share];
    });
    if (mix.length >= MOST_SIDES) return rows;
    return [...rows, this.runs('', run => this.change({mix: [...this.side.mix, {run, weight: 0.5}]}), word('Choose'), word('One more'))];
  }

  // The run whose adapter, or whose base, it is; another one is searched for.
  runs(title, choose, words = word('Another run'), label = word('Run')) {
    const other = make('button', {type: 'button'}, words);
    const row = make('div', {class: 'of-run'}, make('span', {}, label), make('b', {translate: 'no'}, title), other);
    other.addEventListener('click', () => {
      const box = make('input', {type: 'search', role: 'combobox', 'aria-expanded': 'true', 'aria-label': word('Find a run'), autocomplete: 'off'});
      const found = make('div', {role: 'listbox', 'aria-label': word('Runs')});
      row.replaceChildren(box, found);
      new RunList(box, found, this.heads.ways.find, choose).look(true);
    });
    return row;
  }
}
