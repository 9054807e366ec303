// `given`: what is said of reading. The file stands on the form now: what is said is done with once that has been described.
return given.map(said => said.replace('data-busy="file"', 'data-busy="brought"'));
