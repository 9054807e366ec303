// What asks the server how something stands, again and again: at once when it comes into sight or is wanted, then as
// often as `every` says, never twice at a time, and never while nobody looks. Where many look the server says how long each
// is to wait between two questions, and it is asked no more often than that.
const NO_ANSWER = 2000; // ms until it asks again an app that did not answer, and up to half as much again
const guanacoServer = {pause: 0, version: 'VERSION'}; // ms, as it said last, see refusals.js; the app that this page is of

// Is any of it on the screen? What stands on a tab that is not opened has no box.
const isOnScreen = place => document.visibilityState === 'visible' && place.getClientRects().length > 0;

// ask(): a promise, kept when the answer is shown; every(): ms until the next question, Infinity for none; isGone(gone):
// told after each question whether the app did not answer.
function guanacoPoll({place, ask, every, isSeen = () => isOnScreen(place), isGone = () => {}}) {
  let isBusy = false, isWanted = true, wasSeen = false, asked = 0, rested = 0, timer = 0;

  function look() {
    clearTimeout(timer);
    const isNow = isSeen();
    if (isNow && !wasSeen) isWanted = true; // somebody came back: asked once, whatever the state was
    wasSeen = isNow;
    if (!isNow || isBusy) return;
    const wait = Math.max(rested, isWanted ? 0 : asked + Math.max(every(), guanacoServer.pause)) - performance.now();
    if (wait <= 0) question();
    else if (wait < Infinity) timer = setTimeout(look, wait);
  }
  async function question() {
    isBusy = true; isWanted = false; asked = performance.now();
    try {
      await ask();
      isGone(false);
    } catch (error) {
      isWanted = true; rested = performance.now() + NO_ANSWER * (1 + Math.random() / 2);
      isGone(true);
    }
    isBusy = false;
    look();
  }
  // Not within what calls it: that may be changing what is asked for.
  const want = () => { isWanted = true; clearTimeout(timer); timer = setTimeout(look); };

  document.addEventListener('visibilitychange', look);
  new ResizeObserver(look).observe(place);
  return {want, soon: (...after) => after.forEach(ms => setTimeout(want, ms))};
}
