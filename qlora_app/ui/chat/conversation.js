// A conversation, and what may happen to it. Nothing here touches the page; every function answers a new conversation.
// {run, number, title, at, how, sides: [side], turns: [{asking, question, state, note, answers: [answer or null]}]}
// A side says who answers in a column, as Side in inference/sides.py; a turn has an answer for each, null where that column
// was not asked: {text, tokens, seconds, checksum: of the adapter that gave it, problem: why it did not go on, end: 'stop', or
// 'length' where it was as long as it may be, engine: where that was not our own}.
// `how`: what the newest question was asked with.
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

  told: (turn, news) => Talk.settled({...turn, state: news.state, note: news.note || '',
    answers: turn.answers.map((answer, place) => Talk.grown(answer, news.answers?.[place], UNDER_WAY.includes(news.state)))}),

  // An answer with what was said of it now. One that goes on counts what it had before, and keeps it where it fails.
  grown: (answer, told, goesOn) => {
    const {before, ...was} = answer || {};
    if (!told) return goesOn || !answer ? answer : was;
    const said = Talk.said(told), text = said.text.trim() || !before ? said.text : was.text;
    const counted = before ? {tokens: before.tokens + said.tokens, seconds: before.seconds + said.seconds} : {};
    return {...said, ...counted, text, ...(before && goesOn ? {before} : {})};
  },

  // Where some columns had answered when it was ended, the others have not been asked.
  settled: turn => turn.state === 'done' || UNDER_WAY.includes(turn.state) || !Talk.texts(turn).some(Boolean) ? turn
    : {...turn, answers: turn.answers.map(answer => answer?.text || answer?.problem ? answer : null)},

  said: ({text, tokens, seconds, checksum, problem, end, engine}) =>
    ({text, tokens, seconds, checksum, problem, end, engine}),

  // What is being answered ends as it stands.
  ended: (talk, state = 'stopped', note = '') => ({...talk, turns: talk.turns.map(turn =>
    UNDER_WAY.includes(turn.state) ? Talk.settled({...turn, state, note, answers: turn.answers.map(answer => Talk.grown(answer))}) : turn)}),

  // ---- its columns

  added: (talk, side) => ({...talk, sides: [...talk.sides, side], turns: Talk.each(talk, answers => [...answers, null])}),

  // Another one answers in a column: what the former one said is not its own.
  changed: (talk, place, side) => ({...talk, sides: put(talk.sides, place, side), turns: Talk.each(talk, answers => put(answers, place, null))}),

  removed: (talk, place) => ({...talk, sides: without(talk.sides, place), turns: Talk.each(talk, answers => without(answers, place))}),

  swapped: (talk, one, other) => ({...talk, sides: swap(talk.sides, one, other), turns: Talk.each(talk, answers => swap(answers, one, other))}),

  each: (talk, change) => talk.turns.map(turn => ({...turn, answers: change(turn.answers)})),

  // The first question that some columns were not asked, and these; null where there is none.
  open: talk => {
    const at = talk.turns.findIndex(turn => turn.answers.includes(null));
    return at < 0 ? null : {at, only: talk.turns[at].answers.flatMap((answer, place) => answer ? [] : [place])};
  },

  // A question is asked once more, of some columns only.
  askedOf: (talk, at, asking, only) => ({...talk, turns: talk.turns.map((turn, i) => i !== at ? turn : {...turn, asking, state: 'waiting',
    answers: turn.answers.map((answer, place) => only.includes(place) ? silent() : answer)})}),

  isUnderWay: talk => talk.turns.some(turn => UNDER_WAY.includes(turn.state)),

  // Up to a question, without it.
  until: (talk, at) => ({...talk, turns: talk.turns.slice(0, at)}),

  texts: turn => turn.answers.filter(Boolean).map(answer => answer.text),

  // What the models are to know of it: a question that was answered by nobody is left out.
  known: talk => talk.turns.filter(turn => turn.state === 'done' || Talk.texts(turn).some(Boolean))
    .map(turn => ({question: turn.question, answers: turn.answers.map(Talk.toldOf)})),

  // A column that could not answer has not been asked.
  toldOf: answer => answer && (answer.text || !answer.problem) ? answer.text : null,

  name: talk => (talk.turns[0]?.question || '').replace(/\s+/g, ' ').slice(0, 80),
};

const put = (list, place, one) => Object.assign([...list], {[place]: one});
const without = (list, place) => list.filter((_, i) => i !== place);
const swap = (list, one, other) => put(put(list, one, list[other]), other, list[one]);
