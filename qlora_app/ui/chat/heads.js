// Above each column who answers there, and a menu to change it. `ways`: {who(sides), find(asked), use(place, side), add(),
// remove(place), swap(place), named()}; what is known of a side is asked once.
const MOST_SIDES = 4;

class Heads {
  constructor(place, ways) { this.place = place; this.ways = ways; this.known = new Map(); this.sides = []; this.menus = []; }

  show(sides, partner) {
    this.sides = sides; this.partner = partner;
    this.draw();
    this.learn();
  }

  facts(side) {
    const mine = side.run === this.partner?.run ? {title: this.partner.title, base: this.partner.base} : {};
    return {title: side.run, base: '', steps: [], checksum: '', ...mine, ...this.known.get(JSON.stringify(side))};
  }

  name(side) {
    const {title, base} = this.facts(side);
    if (side.who === 'base') return base ? `${word('Base')} · ${base}` : word('Base');
    return title;
  }

  // What is not as usual.
  words(side) {
    const {base, problem} = this.facts(side), words = problem ? [problem] : [];
    if (side.checkpoint !== undefined) words.push(word('step {n}', {n: figure(side.checkpoint)}));
    if (side.temperature !== undefined) words.push(word('temperature {n}', {n: side.temperature}));
    if (side.who !== 'base' && base !== this.partner?.base) words.push(base);
    return words.filter(Boolean).join(' · ');
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
    const side = this.sides[place];
    if (!checksum || this.facts(side).checksum === checksum) return;
    this.known.set(JSON.stringify(side), {...this.facts(side), checksum});
    this.draw();
  }

  draw() {
    this.menus = [];
    this.place.style.setProperty('--columns', this.sides.length);
    this.place.replaceChildren(...this.sides.map((side, place) => this.head(side, place)));
  }

  head(side, place) {
    const {checksum} = this.facts(side), words = this.words(side), name = this.name(side);
    const open = make('button', {type: 'button', class: 'open', 'aria-expanded': 'false', 'aria-label': word('Change column {n}', {n: place + 1}),
      translate: 'no', title: [name, words].filter(Boolean).join(' · ')}, make('b', {}, name), make('span', {class: 'words'}, words));
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
    this.draw();
  }

  async draw() {
    const {steps, title} = this.heads.facts(this.side), count = this.heads.sides.length;
    const kinds = [['run', word('Adapter')], ['base', word('Base')]];
    const parts = [this.field(word('Who answers'), this.select(kinds, this.side.who, who => this.change({who}))), this.runs(title)];
    if (this.side.who === 'run' && steps.length) {
      const saved = [['', word('Newest')], ...steps.map(step => [String(step), word('Step {n}', {n: figure(step)})])];
      parts.push(this.field(word('Checkpoint'), this.select(saved, String(this.side.checkpoint ?? ''),
        step => this.change({checkpoint: step === '' ? undefined : +step}))));
    }
    parts.push(this.temperature());
    const deeds = make('div', {class: 'deeds'}, make('button', {type: 'submit', class: 'use'}, word('Use it')));
    if (count > 1) deeds.append(button('swap-column', word('Swap'), {'data-place': this.at}), button('remove-column', word('Remove'), {'data-place': this.at}));
    this.place.replaceChildren(...parts, deeds);
    if (!this.heads.known.has(JSON.stringify(this.side))) { await this.heads.learn([this.side]); this.draw(); }
  }

  change(other) {
    for (const [name, value] of Object.entries(other)) {
      if (value === undefined) delete this.side[name]; else this.side[name] = value;
    }
    if (this.side.who !== 'run') delete this.side.checkpoint;
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

  // The run whose adapter, or whose base, it is; another one is searched for.
  runs(title) {
    const other = make('button', {type: 'button'}, word('Another run'));
    const row = make('div', {class: 'of-run'}, make('span', {}, word('Run')), make('b', {translate: 'no'}, title), other);
    other.addEventListener('click', () => {
      const box = make('input', {type: 'search', role: 'combobox', 'aria-expanded': 'true', 'aria-label': word('Find a run'), autocomplete: 'off'});
      const found = make('div', {role: 'listbox', 'aria-label': word('Runs')});
      row.replaceChildren(box, found);
      new RunList(box, found, this.heads.ways.find, run => this.change({run, checkpoint: undefined})).look(true);
    });
    return row;
  }
}
