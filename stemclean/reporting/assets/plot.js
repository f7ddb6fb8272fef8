// The picture of a stem, and its classes over time.
const SVG = 'http://www.w3.org/2000/svg';
const FLOOR_DB = -36;

function svg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** The picture or clip of a stem as an address, or null if the page has none. */
function mediaOf(stem, kind) {
  const value = stem[kind];
  if (typeof value === 'string') return value;
  if (!value) return null;
  const holder = $('m' + stem.index);
  if (!holder) return undefined;  // the page is still loading
  const [picture, clip] = holder.textContent.split(' ');
  return kind === 'picture' ? 'data:image/png;base64,' + picture : 'data:audio/ogg;base64,' + clip;
}

/** Height of a level in [0, 1]: 1 is the whole sound. */
const height = (db) => Math.max(0.06, Math.min(1, 1 - db / FLOOR_DB));

/** A step curve of one class over the regions: SVG path in a box of duration x 1. */
function curve(stem, number) {
  let path = '';
  for (const [start, end, present, levels] of stem.regions) {
    if (!present.includes(number)) continue;
    const top = 1 - (levels && levels[number] !== undefined ? height(levels[number]) : 1);
    path += `M${start} 1V${top.toFixed(3)}H${end}V1Z`;
  }
  return path;
}

function bleedCurve(stem, number) {
  let path = '';
  for (const bleed of stem.bleed) {
    if (bleed.label !== number) continue;
    for (const [start, end, db] of bleed.spans) path += `M${start} 1V${(1 - height(db)).toFixed(3)}H${end}V1Z`;
  }
  return path;
}

function lane(stem, number) {
  const own = curve(stem, number), bleed = bleedCurve(stem, number);
  if (!own && !bleed && !stem.claimed.includes(number)) return null;
  const plot = svg('svg', {viewBox: `0 0 ${stem.seconds} 1`, preserveAspectRatio: 'none', 'aria-hidden': 'true'});
  if (own) plot.append(svg('path', {d: own, class: 'level'}));
  if (bleed) plot.append(svg('path', {d: bleed, class: 'measured'}));
  const level = stem.levels[number];
  return make('div', {class: `lane c${number % 8}` + (stem.claimed.includes(number) ? ' claimed' : '')},
    make('span', {class: 'lane-name'}, dot(number), labels[number], make('small', {text: level === undefined ? '' : ' ' + dB(level)})),
    plot);
}

/** The spectrogram, the classes below it, and a time axis; a click plays from there. */
function plotOf(stem) {
  const box = make('div', {class: 'plot'});
  const picture = mediaOf(stem, 'picture');
  const canvas = make('div', {class: 'spectrogram', id: 'spectrogram'});
  if (picture) canvas.append(make('img', {src: picture, alt: `Spectrogram of ${stem.id}, 40 Hz to 16 kHz`, loading: 'lazy', decoding: 'async'}));
  else if (picture === undefined) canvas.append(make('p', {class: 'none', text: 'Loading …'}));
  else canvas.append(make('p', {class: 'none', text: stem.failure ?? 'No picture: it holds what it claims.'}));
  if (stem.worst) {
    const [start, end] = stem.worst;
    canvas.append(make('span', {class: 'worst', style: `left:${(100 * start) / stem.seconds}%;width:${(100 * (end - start)) / stem.seconds}%`, 'aria-hidden': 'true'}));
  }
  if (picture) canvas.append(...['10 kHz', '1 kHz', '100 Hz'].map((text, at) => make('span', {class: 'hz', style: `bottom:${(100 * Math.log([10000, 1000, 100][at] / 40)) / Math.log(400)}%`, text, 'aria-hidden': 'true'})));
  canvas.append(make('span', {class: 'playhead', id: 'playhead', hidden: true, 'aria-hidden': 'true'}));
  canvas.addEventListener('click', (event) => {
    const area = canvas.getBoundingClientRect();
    playWhole(((event.clientX - area.left) / area.width) * stem.seconds);
  });
  const lanes = labels.map((_, number) => lane(stem, number)).filter(Boolean);
  const every = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600].find((seconds) => stem.seconds / seconds <= 8) ?? 7200;
  const axis = make('div', {class: 'times', 'aria-hidden': 'true'});
  for (let at = 0; at <= stem.seconds; at += every) axis.append(make('span', {style: `left:${(100 * at) / stem.seconds}%`, text: clock(at)}));
  box.append(canvas, ...lanes, axis);
  if (lanes.length) box.append(make('p', {class: 'key soft', text: `Height: level from ${dB(FLOOR_DB)} to 0 dB relative to the whole sound. Dashed: bleed measured from another stem of the track.`}));
  return box;
}
