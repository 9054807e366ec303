// `given`: the chosen data, what the settings on the form were suggested for, what is said of reading. It is said until
// what stands on the form belongs to the data that is chosen; of a file, until that has been brought.
const [chosen, suggested, ...said] = given;
const isOfAFile = said[0].includes('data-busy="file"');
return isSuggestedFor(chosen, suggested) && !isOfAFile ? said.map(() => '') : said;
