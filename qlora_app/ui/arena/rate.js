// The page of a rater. All it knows of a pair is its question, two texts and an id that is worth one vote.
(() => {
  const at = id => document.getElementById(id);
  const word = name => at('word-' + name).textContent;
  const token = new URLSearchParams(location.search).get('token') || '';
  const base = location.pathname.replace(/\/+$/, '');
  // Its answer was lost on the way, or another window of this browser voted.
  const OVER = ['arena.voted_already', 'arena.not_yours'];
  let assignment = null, busy = false;

  function say(text, isProblem = false) {
    at('said').textContent = text;
    at('said').classList.toggle('wrong', isProblem);
  }

  function enable(is) {
    busy = !is;
    for (const button of at('choices').querySelectorAll('button')) button.disabled = !is;
  }

  function show(sent) {
    const done = !sent.assignment;
    at('pair').hidden = at('choices').hidden = done;
    at('done').textContent = `${sent.done} / ${sent.of}`;
    assignment = sent.assignment || null;
    say(done ? word('finished') : '');
    if (done) return;
    at('question').innerHTML = sent.question;
    at('left').innerHTML = sent.left;
    at('right').innerHTML = sent.right;
    at('comment').value = '';
    scrollTo({top: 0});
  }

  // What is sent comes back with the next pair, in one answer.
  async function ask(deed, more) {
    if (busy) return;
    enable(false);
    let isOver = false;
    try {
      const answer = await fetch(`${base}/${deed}`, {
        method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify({token, ...more}),
      });
      const sent = await answer.json();
      if (!sent.problem) show(sent);
      else say(sent.problem, true);
      isOver = OVER.includes(sent.code);
    } catch { say(word('offline'), true); }
    enable(true);
    if (isOver && deed !== 'next') ask('next', {});
  }

  const vote = choice => ask('vote', {assignment, choice, comment: at('comment').value});
  const skip = () => ask('skip', {assignment});

  at('choices').addEventListener('click', event => {
    const button = event.target.closest('button');
    if (button && assignment) button.id === 'skip' ? skip() : vote(button.dataset.choice);
  });
  document.addEventListener('keydown', event => {
    const writes = event.target.closest && event.target.closest('textarea');
    if (writes || !assignment || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
    const button = [...at('choices').querySelectorAll('button')].find(one => one.querySelector('kbd').textContent === event.key);
    if (button) { event.preventDefault(); button.click(); }
  });
  say(word('loading'));
  ask('next', {});
})();
