// Are the settings on the form those for the data that is chosen? `suggested`: what they were suggested for, as JSON.
const isSuggestedFor = (chosen, suggested) => {
  try { return JSON.parse(suggested).data === chosen; } catch { return chosen === undefined; } // else: suggested for nothing
};
