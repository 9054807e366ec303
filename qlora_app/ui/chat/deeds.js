// What may be done with what was said: going on, taking out, voting, searching, taking along. Nothing here touches the
// page. A turn may have a `vote` {kind: 'better' or 'worse', place}, an answer that was corrected `was`, as it was said.
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
  voted: (talk, at, kind, place) => Talk.withTurn(talk, at, turn =>
    ({vote: turn.vote?.kind === kind && turn.vote.place === place ? null : {kind, place}})),

  // What an answer should have said, or `null`: as it was said.
  corrected: (talk, at, place, text) => Talk.withTurn(talk, at, turn => ({answers: turn.answers.map((answer, i) => {
    if (i !== place) return answer;
    const {was, ...now} = answer, said = was ?? now.text;
    return text === null || text === said ? {...now, text: said} : {...now, text, was: said};
  })})),

  // May answers be told apart? Where only one column said something, or all the same, there is nothing to choose.
  canVote: turn => new Set(Talk.texts(turn).map(text => text.trim()).filter(Boolean)).size > 1,

  id: turn => turn.asking.split('/')[0],

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

  // Rows of a dataset: one conversation for each column but the bases', where there is another.
  messages: talk => {
    const own = talk.sides.flatMap((side, place) => side.who === 'base' ? [] : [place]);
    const places = own.length ? own : talk.sides.map((_, place) => place);
    return places.map(place => Talk.messagesOf(talk, place)).filter(turns => turns.some(turn => turn.role === 'assistant'));
  },

  messagesOf: (talk, place) => {
    const system = talk.how?.system?.trim(), answered = talk.turns.filter(turn => turn.answers[place]?.text.trim());
    return [...(system ? [{role: 'system', content: system}] : []), ...answered.flatMap(turn =>
      [{role: 'user', content: turn.question}, {role: 'assistant', content: turn.answers[place].text}])];
  },

  jsonl: talks => talks.flatMap(Talk.messages).map(messages => `${JSON.stringify({messages})}\n`).join(''),

  markdown: (talk, names) => talk.turns.map(turn => [`**${word('You')}**\n\n${turn.question}`, ...turn.answers.flatMap((answer, place) =>
    answer?.text.trim() ? [`**${names[place]}**\n\n${answer.text}`] : [])].join('\n\n')).join('\n\n---\n\n'),
});
