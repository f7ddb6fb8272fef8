// The list of stems: only the rows in sight are in the document, whatever the number of stems.
const ROW = 64;  // height in CSS pixels, as in the style
let current = null;

function drawRows(reset = false) {
  const list = $('list'), rows = $('rows');
  rows.style.height = `${shown.length * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 6);
  const last = Math.min(shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + 6);
  if (reset) rows.replaceChildren();
  const present = new Map([...rows.children].map((row) => [row.dataset.key, row]));
  for (const row of present.values()) {
    const at = Number(row.dataset.at);
    if (at < first || at >= last) row.remove();
  }
  for (let at = first; at < last; at++) {
    const stem = shown[at];
    if (!present.get(stem.key)?.isConnected) rows.append(rowOf(stem, at));
  }
  const selected = current && $('row-' + current.index);
  if (selected) list.setAttribute('aria-activedescendant', selected.id);
  else list.removeAttribute('aria-activedescendant');
}

/** The last part of the id, which tells the stems of a track apart, and then the rest. */
function nameOf(stem) {
  const at = stem.id.lastIndexOf('/');
  return [make('b', {}, make('bdi', {text: stem.id.slice(at + 1)})), at > 0 ? make('small', {}, make('bdi', {text: stem.id.slice(0, at)})) : null];
}

function rowOf(stem, at) {
  const decision = decisions.get(stem.key);
  const found = stem.found === undefined ? null : classes(stem.found);
  return make('div', {
    class: 'row' + (stem === current ? ' selected' : ''), role: 'option', id: 'row-' + stem.index,
    'aria-selected': String(stem === current), 'aria-posinset': at + 1, 'aria-setsize': shown.length,
    'data-key': stem.key, 'data-at': at, style: `top:${at * ROW}px`,
    onclick: () => { choose(stem); $('list').focus({preventScroll: true}); },
  },
  make('span', {class: 'name', title: stem.id}, ...nameOf(stem).filter(Boolean)),
  make('span', {class: 'quality', text: stem.quality === undefined ? '–' : stem.quality.toFixed(2), title: 'label quality'}),
  make('span', {class: 'claim'}, classes(stem.claimed, 'no claim'), ...(found ? [make('span', {class: 'arrow', text: ' → '}), found] : [])),
  decision ? make('span', {class: 'chip decided', text: {accept: '✓ accepted', relabel: '✎ relabelled', drop: '✕ dropped'}[decision.action]})
    : make('span', {class: `chip ${stem.action ?? 'none'}`, text: stem.action ?? 'not judged'}));
}

function redraw(stem) {
  const row = $('row-' + stem.index);
  if (row) row.replaceWith(rowOf(stem, Number(row.dataset.at)));
  showProgress();
}

function choose(stem, {quiet = false} = {}) {
  if (stem === current && stem) return;
  const before = current;
  stop();
  current = stem;
  if (before) redraw(before);
  if (stem) {
    const at = shown.indexOf(stem), list = $('list');
    if (at >= 0) {
      const top = at * ROW;
      if (top < list.scrollTop) list.scrollTop = top;
      else if (top + ROW > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW - list.clientHeight;
    }
    drawRows();
    redraw(stem);
    $('list').setAttribute('aria-activedescendant', 'row-' + stem.index);
  }
  showDetail(stem);
  if (stem && !quiet && options.get('play')) playWorst();
}

function step(by) {
  if (!shown.length) return;
  const at = shown.indexOf(current);
  choose(shown[Math.min(shown.length - 1, Math.max(0, at + by))]);
}

function showProgress() {
  const decided = stems.filter((stem) => decisions.has(stem.key)).length;
  const open = stems.filter((stem) => stem.flagged && !decisions.has(stem.key)).length;
  $('progress').textContent = decided ? `${decided} decided, ${open} to go${settings.served ? ' · saved' : ''}` : `${open} to look at`;
  $('download').disabled = !decided;
}

$('list').addEventListener('scroll', () => requestAnimationFrame(() => drawRows()), {passive: true});
addEventListener('resize', () => drawRows());
