// Which stems are shown.
let shown = stems;

const tracks = [...new Set(stems.map((stem) => stem.track))].sort();
for (const track of tracks.slice(0, 5000)) if (track) $('f-track').append(make('option', {text: track}));

const searchable = stems.map((stem) => `${stem.id}\n${stem.path}\n${stem.track}`.toLowerCase());

function matches(stem, filter, words) {
  if (filter.state === 'flagged' && !stem.flagged && !decisions.has(stem.key)) return false;
  if (filter.state === 'open' && (decisions.has(stem.key) || !stem.flagged)) return false;
  if (filter.state === 'decided' && !decisions.has(stem.key)) return false;
  if (filter.claimed && !named(stem.claimed).includes(filter.claimed)) return false;
  if (filter.found === '-' ? stem.found?.length !== 0 && stem.found !== undefined : filter.found && !named(stem.found ?? []).includes(filter.found)) return false;
  if (filter.action && stem.action !== filter.action) return false;
  if (filter.issue && !stem.issues.some((issue) => issue[0] === filter.issue)) return false;
  if (filter.track && stem.track !== filter.track) return false;
  const note = (decisions.get(stem.key)?.note ?? '').toLowerCase();
  return words.every((word) => searchable[stem.index].includes(word) || note.includes(word));
}

function applyFilters() {
  const filter = Object.fromEntries(['state', 'claimed', 'found', 'action', 'issue', 'track'].map((name) => [name, $('f-' + name).value]));
  const words = $('search').value.toLowerCase().split(/\s+/).filter(Boolean);
  shown = stems.filter((stem) => matches(stem, filter, words));
  $('count').textContent = `${shown.length} of ${stems.length} stems`;
  if (!shown.includes(current)) choose(shown[0] ?? null, {quiet: true});
  drawRows(true);
}

function filterBy(values) {
  $('filters').reset();
  $('f-state').value = 'all';
  for (const [name, value] of Object.entries(values)) $('f-' + name).value = value;
  applyFilters();
  $('stems').scrollIntoView({behavior: 'auto'});
  $('list').focus({preventScroll: true});
}
