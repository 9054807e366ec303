"""What stands on the card of a run before anything is known of it, and what in its place where there is no run."""

SKELETON = """
<article class="card" data-state="loading">
  <div data-part="others"></div>
  <div data-part="head"></div>
  <p class="lost" role="alert" hidden>No answer from the app. Training goes on without it; this page keeps asking.</p>
  <div class="bar" role="progressbar" aria-label="Training progress" aria-valuemin="0" aria-valuemax="100"><i></i></div>
  <p class="progress" data-part="progress"></p>
  <div data-part="verdict"></div>
  <div class="diagnosis" data-part="findings"></div>
  <div class="actions" data-part="actions"></div>
  <div class="again" hidden></div>
  <div class="confirm-discard" role="alertdialog" aria-label="Stop without saving" hidden><p>It stops at once. What it
  learned since it was last saved is lost; thrown away, all of it is.</p>
  <button type="button" data-do="leave">Stop, keep what was saved</button>
  <button type="button" class="worst" data-do="discard">Throw it away</button>
  <button type="button" data-do="keep">Go on training</button></div>
  <dl class="tiles" data-part="tiles"></dl>
  <dl class="machine" data-part="machine"></dl>
  <div class="split">
  <div class="curves"><figure class="chart">
    <div class="tools"><span class="switches" role="group" aria-label="Which curve">
      <button type="button" data-series="loss" aria-pressed="true">Loss</button>
      <button type="button" data-series="learning_rate" aria-pressed="false">Learning rate</button>
      <button type="button" data-series="grad_norm" aria-pressed="false">Gradient norm</button>
      <button type="button" data-series="memory_mb" aria-pressed="false">Memory</button>
      <button type="button" data-series="tokens_per_second" aria-pressed="false">Tokens/s</button>
      <button type="button" data-series="rewards_margins" data-rewards hidden aria-pressed="false">Margin</button>
      <button type="button" data-series="rewards_accuracies" data-rewards hidden aria-pressed="false">Preferred</button>
      <button type="button" data-series="rewards_chosen" data-rewards hidden aria-pressed="false">Chosen</button>
      <button type="button" data-series="rewards_rejected" data-rewards hidden
      aria-pressed="false">Rejected</button></span>
      <span class="ways"><label><input type="checkbox" class="log-scale"> <span>log scale</span></label>
      <label><span>smoothing</span> <input type="range" class="smoothing" min="0" max="10" value="4"></label></span>
    </div>
    <div class="plot"></div><div class="legend"></div><figcaption class="read"></figcaption>
    <details class="numbers"><summary>The curve as a table</summary>
    <div tabindex="0" role="region" aria-label="The curve as a table"></div></details></figure>
    <section class="pinned" data-part="pinned" aria-live="polite"></section>
    <section class="queue" data-part="queue"></section></div>
  <div class="answer-side">
    <section class="ask-box" hidden><h3>Ask it while it trains</h3>
      <form><textarea rows="1" maxlength="2000" aria-label="Question"
        placeholder="Answered between two steps"></textarea><button type="submit">Ask</button></form>
      <p class="refused warning" role="alert" hidden></p>
      <div class="sent" hidden><p translate="no"></p><p class="quiet">It waits.</p></div>
    </section>
    <section class="asked" data-part="asked" aria-live="polite"></section>
    <section class="samples" data-part="samples"></section></div>
  </div>
  <details class="log"><summary>Log</summary><button type="button" class="save-log">Download the log</button>
  <pre data-part="log" tabindex="0"></pre></details>
  <p class="only-read" role="status" aria-live="polite"></p>
</article>"""
EMPTY = """<div class="welcome"><h2>Nothing trained yet</h2>
<p>Press <b>Start training</b>. The model learns from the data on the left while you watch, and you can talk to it when
it is done.</p> <ol><li><b>Start</b>one click, everything is set</li><li><b>Watch</b>the loss falls, answers appear</li>
<li><b>Chat</b>before and after, side by side</li></ol></div>"""
NOTHING_HERE = """<div class="welcome"><h2>Nothing to see yet</h2><p>No model has been trained here so far.
When the owner of this demonstration trains one, you can watch it and talk to it.</p></div>"""
