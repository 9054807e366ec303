// What may be done with what was said: going on, taking out, voting, searching, taking along. Nothing here touches the
// page. A turn may have a `vote` {kind: 'better' or 'worse', id: of the answer, named}, an answer that was corrected `was`, as
// it was said. Under `named` the datasets have them; a correction that has no name stands in the datasets of another conversation.
Object.assign(Talk, {
  // The columns whose answer ended by its length, or was stopped.
  goingOn: turn => turn.answers.flatMap((answer, place) =>
    answer?.text.trim() && !answer.problem && answer.was === undefined && (answer.end === 'length' || (turn.state === 'stopped' && answer.end !== 'stop')) ? [place] : []),

  // They go on where they ended: what there is stays in front, and counts on.
  wentOn: (talk, at, asking) => ({...talk, turns: talk.turns.map((turn, i) => i !== at ? turn : {...turn, asking, state: 'waiting', note: '',
    answers: turn.answers.map((answer, place) => Talk.goingOn(turn).includes(place)
      ? {...answer, before: {tokens: answer.tokens, seconds: answer.seconds}} : answer)})}),

  // What they are told that they have said.
  begun: turn => turn.answers.map(answer => answer?.before ? answer.text : ''),

  withoutTurn: (talk, at) => ({...talk, turns: talk.turns.filter((_, i) => i !== at)}),

  withTurn: (talk, at, change) => ({...talk, turns: talk.turns.map((turn, i) => i === at ? {...turn, ...change(turn)} : turn)}),

  // A vote, or none: whoever votes the same again takes it back.
  voted: (turn, kind, id) => turn.vote?.kind === kind && turn.vote.id === id ? null : {kind, id, named: turn.vote?.named || newId()},

  // What an answer should have said, or `null`: as it was said.
  corrected: (talk, at, id, text) => Talk.withTurn(talk, at, turn => ({answers: turn.answers.map(answer => {
    if (answer?.id !== id) return answer;
    const {was, named, ...now} = answer, said = was ?? now.text;
    return text === null || text === said ? {...now, text: said} : {...now, text, was: said, named: named || newId()};
  })})),

  placeOf: (turn, id) => turn.answers.findIndex(answer => answer?.id === id),

  // What the datasets have of a turn.
  names: turn => [turn.vote, ...turn.answers].flatMap(one => one?.named ? [one.named] : []),

  // Votes and corrections of a turn, as they are told to the server once more.
  given: turn => [...(turn.vote ? [{kind: turn.vote.kind, id: turn.vote.id, named: turn.vote.named}] : []),
    ...turn.answers.flatMap(answer => answer?.named ? [{kind: 'right', id: answer.id, named: answer.named}] : [])],

  // A turn that was taken out, back among those that stand there now: its answers in the columns of those who gave them.
  putBack: (talk, at, turn, sides) => {
    const left = sides.map(side => JSON.stringify(side));
    const answers = talk.sides.map(side => {
      const place = left.indexOf(JSON.stringify(side));
      if (place < 0) return null;
      left[place] = '';
      return turn.answers[place];
    });
    const vote = turn.vote && answers.some(answer => answer?.id === turn.vote.id) ? turn.vote : null;
    return {...talk, turns: [...talk.turns.slice(0, at), {...turn, answers, vote}, ...talk.turns.slice(at)]};
  },

  // May answers be told apart? Where only one column said something, or all the same, there is nothing to choose.
  canVote: turn => new Set(Talk.texts(turn).map(text => text.trim()).filter(Boolean)).size > 1,

  holds: (talk, words) => {
    const text = talk.turns.map(turn => [turn.question, ...Talk.texts(turn)].join('\n')).join('\n').toLowerCase();
    return words.toLowerCase().split(/\s+/).every(word => text.includes(word));
  },

  // The words around the first one that was looked for.
  around: (talk, words) => {
    const first = words.toLowerCase().split(/\s+/)[0];
    const text = talk.turns.flatMap(turn => [turn.question, ...Talk.texts(turn)]).find(one => one.toLowerCase().includes(first)) || '';
    const at = text.toLowerCase().indexOf(first), start = Math.max(0, at - 30);
    return `${start ? '…' : ''}${text.slice(start, at + 60).replace(/\s+/g, ' ')}`;
  },

  // Rows of a dataset: one conversation for each column but the bases', where there is another; the next one begins where
  // another system text was set.
  messages: talk => {
    const own = talk.sides.flatMap((side, place) => side.who === 'base' ? [] : [place]);
    const places = own.length ? own : talk.sides.map((_, place) => place);
    return places.flatMap(place => Talk.messagesOf(talk, place));
  },

  messagesOf: (talk, place) => {
    const found = [];
    let before = null;
    for (const turn of talk.turns.filter(turn => turn.answers[place]?.text.trim())) {
      const answer = turn.answers[place], system = Talk.systemOf(talk, turn, answer);
      if (system !== before) found.push(system ? [{role: 'system', content: system}] : []);
      before = system;
      found[found.length - 1].push({role: 'user', content: turn.question}, {role: 'assistant', content: answer.text});
    }
    return found;
  },

  systemOf: (talk, turn, answer) => (answer.system ?? Talk.howOf(talk, turn, answer).system ?? '').trim(),

  jsonl: talks => talks.flatMap(Talk.messages).map(messages => `${JSON.stringify({messages})}\n`).join(''),

  markdown: (talk, names) => talk.turns.map(turn => [`**${word('You')}**\n\n${turn.question}`, ...turn.answers.flatMap((answer, place) =>
    answer?.text.trim() ? [`**${names[place]}**\n\n${answer.text}`] : [])].join('\n\n')).join('\n\n---\n\n'),
});
