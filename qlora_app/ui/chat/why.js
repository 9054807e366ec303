// Why this answer: below it the same words once more, each coloured by what training changed of its probability. The arrows go
// through them; what is pointed at, touched or chosen is said in figures.
const SAME = 0.5; // nats, below which a word has no colour
const STRONGEST = 4; // nats from which on a colour grows no stronger

class Whys {
  // `ask(row, place, name)` asks the server, which tells `hear`.
  constructor(ask) { this.ask = ask; this.waiting = new Map(); this.count = 0; }

  turn(button) {
    const answer = button.closest('.answer'), open = answer.querySelector('.why');
    button.setAttribute('aria-expanded', String(!open));
    if (open) { open.remove(); return; }
    const row = answer.closest('.exchange'), name = `why-${++this.count}`;
    const place = make('div', {class: 'why', role: 'region', 'aria-label': word('Why this answer')}, make('p', {class: 'quiet', role: 'status'}, word('Reading the answer once more…')));
    answer.append(place);
    this.waiting.set(name, place);
    this.ask(row, [...answer.parentElement.children].indexOf(answer), name);
  }

  // The answer is another one now, or grows.
  static forget(answer) {
    answer.querySelector('.why')?.remove();
    answer.querySelector('[data-do=why]')?.setAttribute('aria-expanded', 'false');
  }

  hear(told) {
    const place = this.waiting.get(told.asking);
    if (!place) return;
    if (told.isOver) this.waiting.delete(told.asking);
    if (!told.parts) { place.replaceChildren(make('p', {class: told.isOver ? 'problem' : 'quiet', role: 'status'}, told.sentence)); return; }
    place.replaceChildren(...this.shown(told));
  }

  shown(told) {
    const said = make('p', {class: 'chances', role: 'status'});
    const words = make('div', {class: 'words said plain', translate: 'no', dir: 'auto', role: 'group', 'aria-label': word('The answer, word by word; the arrow keys go through it')});
    const spans = told.parts.map(part => this.span(part));
    words.append(...spans);
    const choose = at => {
      spans.forEach((span, i) => { span.tabIndex = i === at ? 0 : -1; span.classList.toggle('chosen', i === at); });
      said.replaceChildren(...this.figures(told.parts[at]));
    };
    const at = e => spans.indexOf(e.target.closest('.tok'));
    for (const event of ['pointerover', 'click', 'focusin']) words.addEventListener(event, e => { if (at(e) >= 0) choose(at(e)); });
    words.addEventListener('keydown', e => {
      const next = at(e) + ({ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1}[e.key] || 0);
      if (next === at(e) || !spans[next]) return;
      e.preventDefault(); spans[next].focus();
    });
    choose(told.most[0] || 0);
    const note = told.sentence ? [make('p', {class: 'quiet'}, told.sentence)] : [];
    return [this.most(told), words, said, this.legend(), ...note];
  }

  span(part) {
    const strength = Math.min(1, Math.abs(part.adapter - part.base) / STRONGEST), kind = Whys.kind(part);
    return make('span', {class: `tok ${kind}`, style: `--d: ${Math.round(100 * strength)}%`, tabindex: -1,
      'aria-label': `${Whys.named(part)}: ${Whys.compared(part)}`}, part.is_end ? word('(end)') : part.text);
  }

  // What training changed most, at one glance.
  most(told) {
    const rows = told.most.map(at => told.parts[at]).filter(part => Whys.kind(part) !== 'same').map(part =>
      make('li', {class: Whys.kind(part)}, make('b', {translate: 'no'}, Whys.named(part)), ' ', make('span', {}, Whys.compared(part))));
    if (!rows.length) return make('p', {class: 'most'}, word('With the adapter and without it every word was about as likely.'));
    return make('div', {class: 'most'}, make('p', {}, word('Training changed these most:')), make('ul', {}, ...rows));
  }

  figures(part) {
    const sooner = likeliest => likeliest.slice(0, 3).map(([text, share]) => `${text.trim() || '␣'} ${Whys.share(share)}`).join(' · ');
    const line = (title, share, likeliest) => make('span', {}, make('b', {}, title), ` ${Whys.share(share)} `,
      make('span', {class: 'quiet', translate: 'no'}, `(${sooner(likeliest)})`));
    return [make('b', {class: 'name', translate: 'no'}, Whys.named(part)),
      line(word('With the adapter'), Math.exp(part.adapter), part.adapter_likeliest),
      line(word('Base alone'), Math.exp(part.base), part.base_likeliest)];
  }

  legend() {
    const one = (kind, words) => make('span', {}, make('span', {class: `tok ${kind}`, style: '--d: 70%'}, words));
    return make('p', {class: 'legend quiet'}, one('up', word('likelier with the adapter')), one('down', word('likelier without it')),
      make('span', {}, word('Before temperature.')));
  }

  static kind(part) {
    const difference = part.adapter - part.base;
    if (Math.abs(difference) < SAME) return 'same';
    return difference > 0 ? 'up' : 'down';
  }

  static named(part) { return part.is_end ? word('(end)') : part.text.trim() || '␣'; }
  static compared(part) { return word('{a} with the adapter, {b} without', {a: Whys.share(Math.exp(part.adapter)), b: Whys.share(Math.exp(part.base))}); }

  static share(share) {
    const percent = 100 * share;
    if (percent > 0 && percent < 0.1) return `< ${figure(0.1, 1)} %`;
    return `${figure(percent, percent >= 99.95 || percent >= 10 && percent < 99 ? 0 : 1)} %`;
  }
}
