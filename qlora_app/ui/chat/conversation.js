// A conversation, and what may happen to it. Nothing here touches the page; every function answers a new conversation.
// {run, number, title, at, how, sides: [side], turns: [{asking, question, state, note, answers: [answer or null]}]}
// A side says who answers in a column, as Side in inference/sides.py; a turn has an answer for each, null where that column
// was not asked: {id: which stays with it, text, tokens, seconds, checksum: of the adapter that gave it, problem: why it did
// not go on, end: 'stop', or 'length' where it was as long as it may be, engine: where that was not our own, system: text, where not that of the settings}.
// `blind`: the id under which a turn's two answers are to be judged, which stand there in no order.
// `how`: what the newest question was asked with; a turn has its own, and an answer where it was asked otherwise.
const UNDER_WAY = ['waiting', 'loading', 'thinking', 'answering'];
const newId = () => `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 12)}`;
const silent = () => ({id: newId(), text: '', tokens: 0, seconds: 0});
const usualSides = run => [{who: 'base', run}, {who: 'run', run}];

const Talk = {
  begin: (run, number, title, sides = usualSides(run)) => ({run, number, title, at: 0, sides, turns: []}),

  // As it was kept; earlier versions knew two columns, and called them base and tuned.
  read: kept => {
    if (Array.isArray(kept.sides)) return {...kept, turns: kept.turns.map(turn => Talk.identified({...turn, how: turn.how || kept.how}))};
    return Talk.read({...kept, sides: usualSides(kept.run), turns: kept.turns.map(
      ({base, tuned, ...turn}) => ({...turn, answers: [base || silent(), tuned || silent()]}))});
  },

  // Earlier versions counted columns: what they called a vote or a correction is its name still, so that it can be taken back.
  identified: turn => {
    const answers = turn.answers.map((answer, place) => {
      if (!answer || answer.id) return answer;
      const id = `${Talk.id(turn)}/${place}`;
      return {...answer, id, ...(answer.was === undefined ? {} : {named: id})};
    });
    if (!turn.vote || turn.vote.id) return {...turn, answers};
    const id = answers[turn.vote.place]?.id;
    return {...turn, answers, vote: id ? {kind: turn.vote.kind, id, named: Talk.id(turn)} : null};
  },

  id: turn => turn.asking.split('/')[0],

  asked: (talk, asking, question, at) =>
    ({...talk, at, turns: [...talk.turns, {asking, question, state: 'waiting', note: '', answers: talk.sides.map(silent)}]}),

  // What the server said of a question; what comes after its end, or of another one, changes nothing.
  heard: (talk, news) => ({...talk, turns: talk.turns.map(turn =>
    turn.asking === news.asking && UNDER_WAY.includes(turn.state) ? Talk.told(turn, news) : turn)}),

  told: (turn, news) => {
    const how = turn.how || news.how, own = news.how && JSON.stringify(news.how) !== JSON.stringify(how) ? {how: news.how} : {};
    return Talk.settled({...turn, how, ...(news.blind ? {blind: news.blind} : {}), state: news.state, note: news.note || '', answers: turn.answers.map((answer, place) => {
      const told = news.answers?.[place], grown = Talk.grown(answer, told, UNDER_WAY.includes(news.state));
      return told ? {...grown, ...own} : grown;
    })});
  },

  // What an answer was asked with; earlier versions kept only that of the newest question.
  howOf: (talk, turn, answer) => answer?.how || turn.how || talk.how || {},

  // An answer with what was said of it now. One that goes on counts what it had before, and keeps it where it fails.
  grown: (answer, told, goesOn) => {
    const {before, ...was} = answer || {};
    if (!told) return goesOn || !answer ? answer : was;
    const said = Talk.said(told), text = said.text.trim() || !before ? said.text : was.text;
    const counted = before ? {tokens: before.tokens + said.tokens, seconds: before.seconds + said.seconds} : {};
    return {id: answer?.id || newId(), ...said, ...counted, text, ...(before && goesOn ? {before} : {})};
  },

  // Where some columns had answered when it was ended, the others have not been asked.
  settled: turn => turn.state === 'done' || UNDER_WAY.includes(turn.state) || !Talk.texts(turn).some(Boolean) ? turn
    : {...turn, answers: turn.answers.map(answer => answer?.text || answer?.problem ? answer : null)},

  said: ({text, tokens, seconds, checksum, problem, end, engine, system}) =>
    ({text, tokens, seconds, checksum, problem, end, engine, system}),

  // What is being answered ends as it stands.
  ended: (talk, state = 'stopped', note = '') => ({...talk, turns: talk.turns.map(turn =>
    UNDER_WAY.includes(turn.state) ? Talk.settled({...turn, state, note, answers: turn.answers.map(answer => Talk.grown(answer))}) : turn)}),

  // ---- its columns

  added: (talk, side) => ({...talk, sides: [...talk.sides, side], turns: Talk.each(talk, answers => [...answers, null])}),

  // Another one answers in a column: what the former one said is not its own.
  changed: (talk, place, side) => Talk.copied({...talk, sides: put(talk.sides, place, side), turns: Talk.each(talk, answers => put(answers, place, null))}),

  removed: (talk, place) => Talk.copied({...talk, sides: without(talk.sides, place), turns: Talk.each(talk, answers => without(answers, place))}),

  // For another conversation: votes and corrections stay with the one it is from, which can take them back.
  copied: talk => ({...talk, turns: talk.turns.map(turn => ({...turn, vote: null,
    answers: turn.answers.map(answer => answer && {...answer, named: undefined})}))}),

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
