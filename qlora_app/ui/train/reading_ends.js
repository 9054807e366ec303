// `given`: the chosen data, what the settings on the form were suggested for, what is said of reading. It is said until
// what stands on the form belongs to the data that is chosen; of a file, until that is chosen (IS_BROUGHT).
const [chosen, suggested, ...said] = given;
let basis = {};
try { basis = JSON.parse(suggested); } catch { /* a form nothing was suggested for */ }
const isOfAFile = said[0].includes('data-busy="file"');
return basis.data === chosen && (IS_BROUGHT || !isOfAFile) ? said.map(() => '') : said;
