// A conversation as a picture, drawn here: its HTML in an SVG, and that on a canvas. Nothing is asked of another machine.
const PICTURE_WIDTH = 1080, PICTURE_HIGHEST = 12000; // CSS pixels
const PICTURE_STYLE = `
.picture { box-sizing: border-box; width: ${PICTURE_WIDTH}px; padding: 36px 40px; font: 16px/1.55 system-ui, sans-serif; background: BACK; color: TEXT; }
.picture * { box-sizing: border-box; } .picture h1 { margin: 0 0 4px; font: 600 24px/1.3 Georgia, serif; } .picture .by { margin: 0 0 26px; color: MUTED; font-size: 14px; }
.picture .q { margin: 26px 0 10px; font-weight: 600; white-space: pre-wrap; overflow-wrap: anywhere; }
.picture .as { display: grid; gap: 14px; } .picture .a { min-width: 0; padding: 14px 18px; border: 1px solid LINE; border-radius: 12px; background: CARD; overflow-wrap: anywhere; }
.picture h2 { margin: 0 0 8px; font-size: 13px; font-weight: 600; color: MUTED; } .picture p { margin: 0 0 8px; } .picture pre { margin: 8px 0; padding: 10px 12px; white-space: pre-wrap; background: BACK; border-radius: 8px; font: 14px/1.45 ui-monospace, monospace; }
.picture code { font-family: ui-monospace, monospace; font-size: .92em; } .picture table { border-collapse: collapse; } .picture th, .picture td { padding: 4px 10px; border: 1px solid LINE; text-align: left; } .picture .plain { white-space: pre-wrap; } .picture button, .picture annotation { display: none; }`;

// The PNG. `parts`: {title, by, turns: [{question, answers: [{name, html or text}]}]}. Throws where it is too long to be drawn.
async function pictureOf(parts) {
  const style = getComputedStyle(document.querySelector('.room')), card = getComputedStyle(document.querySelector('.answer') || document.body);
  const colours = {BACK: getComputedStyle(document.body).backgroundColor, TEXT: style.color, MUTED: getComputedStyle(document.querySelector('.room .quiet')).color,
    LINE: card.borderTopColor, CARD: card.backgroundColor};
  const css = PICTURE_STYLE.replace(/BACK|TEXT|MUTED|LINE|CARD/g, name => colours[name]);
  const place = make('div', {class: 'picture'}, make('style', {}, css), make('h1', {}, parts.title), make('p', {class: 'by'}, parts.by),
    ...parts.turns.flatMap(turn => [make('p', {class: 'q'}, turn.question), make('div', {class: 'as', style: `grid-template-columns: repeat(${turn.answers.length}, minmax(0, 1fr))`},
      ...turn.answers.map(pictureAnswer))]));
  const outside = make('div', {style: 'position: absolute; left: -99999px; top: 0;', 'aria-hidden': 'true'}, place);
  document.body.append(outside);
  const height = Math.ceil(place.getBoundingClientRect().height);
  const xml = new XMLSerializer().serializeToString(place);
  outside.remove();
  if (height > PICTURE_HIGHEST) throw new Error('long');
  return drawnPicture(`<svg xmlns="http://www.w3.org/2000/svg" width="${PICTURE_WIDTH}" height="${height}"><foreignObject width="100%" height="100%">${xml}</foreignObject></svg>`, height);
}

function pictureAnswer({name, html, text}) {
  const said = make('div', html === undefined ? {class: 'plain'} : {});
  if (html === undefined) said.textContent = text; else said.innerHTML = html;
  said.querySelectorAll('details').forEach(fold => fold.remove());
  return make('div', {class: 'a'}, make('h2', {}, name), said);
}

async function drawnPicture(svg, height) {
  const image = new Image();
  await new Promise((done, failed) => { image.onload = done; image.onerror = failed; image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`; });
  const canvas = document.createElement('canvas'), scale = height > 6000 ? 1 : 2;
  canvas.width = PICTURE_WIDTH * scale; canvas.height = height * scale;
  const pen = canvas.getContext('2d');
  pen.scale(scale, scale); pen.drawImage(image, 0, 0);
  return new Promise((done, failed) => canvas.toBlob(blob => blob ? done(blob) : failed(new Error('empty')), 'image/png'));
}

function download(blob, name) {
  const link = make('a', {href: URL.createObjectURL(blob), download: name});
  document.body.append(link); link.click(); link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
