// A conversation, and what may happen to it. Nothing here touches the page; every function answers a new conversation.
// {run, number, title, at, how, turns: [{asking, question, state, note, base, tuned}]}; a side is {text, tokens, seconds},
// `how` what its newest question was asked with.
const UNDER_WAY = ['waiting', 'loading', 'thinking', 'answering'];
const silent = () => ({text: '', tokens: 0, seconds: 0});

const Talk = {
  begin: (run, number, title) => ({run, number, title, at: 0, turns: []}),

  asked: (talk, asking, question, at) =>
    ({...talk, at, turns: [...talk.turns, {asking, question, state: 'waiting', note: '', base: silent(), tuned: silent()}]}),

  // What the server said of a question; what comes after its end, or of another one, changes nothing.
  heard: (talk, news) => ({...talk, turns: talk.turns.map(turn =>
    turn.asking === news.asking && UNDER_WAY.includes(turn.state) ? Talk.told(turn, news) : turn)}),

  told: (turn, news) => ({...turn, state: news.state, note: news.note || '',
    base: news.base ? Talk.said(news.base) : turn.base, tuned: news.tuned ? Talk.said(news.tuned) : turn.tuned}),

  said: side => ({text: side.text, tokens: side.tokens, seconds: side.seconds}),

  // What is being answered ends as it stands.
  ended: (talk, state = 'stopped', note = '') => ({...talk, turns: talk.turns.map(turn =>
    UNDER_WAY.includes(turn.state) ? {...turn, state, note} : turn)}),

  isUnderWay: talk => talk.turns.some(turn => UNDER_WAY.includes(turn.state)),

  // Up to a question, without it.
  until: (talk, at) => ({...talk, turns: talk.turns.slice(0, at)}),

  // What the models are to know of it: a question that was answered by nobody is left out.
  known: talk => talk.turns.filter(turn => turn.base.text || turn.tuned.text || turn.state === 'done')
    .map(turn => ({question: turn.question, base: turn.base.text, tuned: turn.tuned.text})),

  name: talk => (talk.turns[0]?.question || '').replace(/\s+/g, ' ').slice(0, 80),
};
