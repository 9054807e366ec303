// Two answers judged before it is told whose they are: the server has drawn which is which, and says so with the vote.
const CHOICES = [['left', '1', 'A is better'], ['right', '2', 'B is better'], ['equal', '3', 'Equally good'], ['both_bad', '4', 'Both bad'], ['skip', '0', 'Skip']];

function judgeBar() {
  const choices = CHOICES.map(([choice, key, words]) => {
    const one = button('judge', word(words), {'data-choice': choice});
    one.prepend(make('kbd', {'aria-hidden': 'true'}, key), ' ');
    return one;
  });
  const comment = make('input', {type: 'text', class: 'comment', maxlength: 2000, 'aria-label': word('Comment, if you have one'), placeholder: word('Comment, if you have one')});
  return make('div', {class: 'judge', role: 'group', 'aria-label': word('Which answer is better?')}, ...choices, comment);
}

// The answers in the columns of those who gave them. order: the column of each; facts: what was not told before.
Talk.judged = (turn, {order, facts}) => {
  const answers = [...turn.answers];
  order.forEach((column, at) => { answers[column] = {...turn.answers[at], ...facts[at]}; });
  return {...turn, blind: undefined, answers};
};

Talk.unjudged = talk => talk ? talk.turns.findIndex(turn => turn.blind) : -1;
