// A conversation, and what may happen to it. Nothing here touches the page; every function answers a new conversation.
// {run, number, title, at, how, sides: [side], turns: [{asking, question, state, note, answers: [answer or null]}]}
// A side says who answers in a column, as Side in inference/sides.py. An answer is {text, tokens, seconds} (and the engine,
// where that was not our own), null where that
// column was not asked; a turn has one for each side. `how`: what the newest question was asked with.
const UNDER_WAY = ['waiting', 'loading', 'thinking', 'answering'];
const silent = () => ({text: '', tokens: 0, seconds: 0});
const usualSides = run => [{who: 'base', run}, {who: 'run', run}];

const Talk = {
  begin: (run, number, title, sides = usualSides(run)) => ({run, number, title, at: 0, sides, turns: []}),

  // As it was kept; earlier versions knew two columns, and called them base and tuned.
  read: kept => Array.isArray(kept.sides) ? kept : {...kept, sides: usualSides(kept.run), turns: kept.turns.map(
    ({base, tuned, ...turn}) => ({...turn, answers: [base || silent(), tuned || silent()]}))},

  asked: (talk, asking, question, at) =>
    ({...talk, at, turns: [...talk.turns, {asking, question, state: 'waiting', note: '', answers: talk.sides.map(silent)}]}),

  // What the server said of a question; what comes after its end, or of another one, changes nothing.
  heard: (talk, news) => ({...talk, turns: talk.turns.map(turn =>
    turn.asking === news.asking && UNDER_WAY.includes(turn.state) ? Talk.told(turn, news) : turn)}),

  told: (turn, news) => ({...turn, state: news.state, note: news.note || '',
    answers: turn.answers.map((answer, place) => news.answers?.[place] ? Talk.said(news.answers[place]) : answer)}),

  said: ({text, tokens, seconds, engine}) => ({text, tokens, seconds, ...(engine ? {engine} : {})}),

  // What is being answered ends as it stands.
  ended: (talk, state = 'stopped', note = '') => ({...talk, turns: talk.turns.map(turn =>
    UNDER_WAY.includes(turn.state) ? {...turn, state, note} : turn)}),

  isUnderWay: talk => talk.turns.some(turn => UNDER_WAY.includes(turn.state)),

  // Up to a question, without it.
  until: (talk, at) => ({...talk, turns: talk.turns.slice(0, at)}),

  texts: turn => turn.answers.filter(Boolean).map(answer => answer.text),

  // What the models are to know of it: a question that was answered by nobody is left out.
  known: talk => talk.turns.filter(turn => turn.state === 'done' || Talk.texts(turn).some(Boolean))
    .map(turn => ({question: turn.question, answers: turn.answers.map(answer => answer ? answer.text : null)})),

  name: talk => (talk.turns[0]?.question || '').replace(/\s+/g, ' ').slice(0, 80),
};
