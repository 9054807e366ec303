// What whoever judges without knowing does. All that stands in room.js is known here.
let isBlind = false, isJudging = false;

function turnBlind() {
  isBlind = !isBlind;
  find('.blind').setAttribute('aria-pressed', String(isBlind));
  controls();
}

const asksBlind = () => isBlind && may('judge') && talk.sides.length === 2;

// Who answers in which column is not seen while it is not to be known.
function hide() {
  find('.blind').hidden = !may('judge') || talk?.sides.length !== 2;
  page.toggleAttribute('data-judging', !!talk && (Talk.unjudged(talk) >= 0 || (asksBlind() && Talk.isUnderWay(talk))));
}

// Is there something to judge before anything else is asked?
function mustJudge() {
  const at = Talk.unjudged(talk);
  if (at < 0) return false;
  find('#chat-note').textContent = word('Judge these two answers first, or skip them.');
  rows.place.children[at]?.querySelector('.judge')?.scrollIntoView({block: 'nearest'});
  return true;
}

async function judge(at, choice) {
  const turn = talk.turns[at], {run, number} = talk;
  if (!turn?.blind || isJudging) return;
  isJudging = true;
  const comment = rows.place.children[at].querySelector('.comment').value;
  const told = await server.judge({id: turn.blind, choice, comment, sides: talk.sides}).catch(() => null);
  isJudging = false;
  find('#chat-note').textContent = told?.order ? '' : told?.problem || word('The app does not answer. Try again.');
  if (!told?.order) return;
  const better = turn.answers[['left', 'right'].indexOf(choice)];
  setTurn(run, number, turn.asking, mine => Talk.judged(mine, told));
  if (talk.run !== run || talk.number !== number) return;
  named(); controls();
  const here = talk.turns.findIndex(mine => mine.asking === turn.asking);
  if (better && Talk.canVote(talk.turns[here])) vote(here, 'better', better.id); // it is a pair to train on, too
  composer.box.focus();
}

document.addEventListener('keydown', e => {
  const at = Talk.unjudged(talk), choice = CHOICES.find(([, key]) => key === e.key)?.[0];
  const writes = e.target.closest?.('input, textarea, select'), isFree = !writes || (writes === composer.box && !composer.box.value);
  if (at < 0 || !choice || !isFree || e.repeat || e.ctrlKey || e.metaKey || e.altKey || element.offsetParent === null) return;
  e.preventDefault();
  judge(at, choice);
});
