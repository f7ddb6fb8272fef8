// What the page knows: the stems, the options of the reader, and the decisions, which the browser keeps.
const $ = (id) => document.getElementById(id);
const settings = JSON.parse($('settings').textContent);
const labels = settings.labels;
const stems = JSON.parse($('data').textContent);
stems.forEach((stem, index) => {
  stem.index = index;
  for (const name of ['claimed', 'labels', 'scores', 'issues', 'regions', 'bleed']) stem[name] ??= [];
  stem.levels ??= {};
  stem.track ??= '';
});

/** Make an element: make('p', {class: 'soft', text: '…'}, child, …). Text is always text, never markup. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'text') element.textContent = value;
    else if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** The browser's storage; a page without it, as in a private window, keeps everything until it is closed. */
const storage = {
  memory: new Map(),
  get(name) {
    try { return localStorage.getItem('stemclean.' + name); } catch { return this.memory.get(name) ?? null; }
  },
  set(name, value) {
    try {
      if (value === null) localStorage.removeItem('stemclean.' + name);
      else localStorage.setItem('stemclean.' + name, value);
    } catch { value === null ? this.memory.delete(name) : this.memory.set(name, value); }
  },
};

const ACTIONS = ['accept', 'relabel', 'drop'];
const decisions = new Map();  // key of a stem -> {action, labels (names), note, by, decided}
const undone = [];  // what 'undo' restores: [key, decision before or null], the latest last

/** A decision from storage, a file or the manifest, or null if it is none. */
function checked(value) {
  if (!value || !ACTIONS.includes(value.action) || !Array.isArray(value.labels)) return null;
  if (value.labels.some((label) => typeof label !== 'string')) return null;
  const text = (item) => (typeof item === 'string' ? item : '');
  return {action: value.action, labels: value.labels, note: text(value.note), by: text(value.by), decided: text(value.decided)};
}

function restore() {
  for (const stem of stems) {
    let kept = null;
    try { kept = settings.served ? null : checked(JSON.parse(storage.get('decision:' + stem.key))); } catch { /* not ours */ }
    const known = kept ?? checked(stem.decision);
    if (known) decisions.set(stem.key, known);
    const note = settings.served ? null : storage.get('note:' + stem.key);
    if (note) notes.set(stem.key, note);
  }
}
const notes = new Map();  // key -> note written before the decision

function remember(stem, decision) {
  if (decision) decisions.set(stem.key, decision);
  else decisions.delete(stem.key);
  if (settings.served) save();
  else storage.set('decision:' + stem.key, decision ? JSON.stringify(decision) : null);
}

/** The file decisions.json. */
function decisionsFile() {
  const filed = stems.filter((stem) => decisions.has(stem.key)).map((stem) => {
    const decision = decisions.get(stem.key);
    return {...decision, sha256: stem.sha256 ?? null, stream: stem.stream ?? 0, id: stem.raw ?? stem.id};
  });
  return JSON.stringify({schema: 'stemclean.decisions/1', decisions: filed}, null, 1) + '\n';
}

let saving = Promise.resolve();
function save() {
  const body = decisionsFile();
  saving = saving.then(() => fetch('decisions', {method: 'PUT', body, headers: {'Content-Type': 'application/json'}}))
    .then((answer) => { if (!answer.ok) throw new Error(String(answer.status)); showProgress(); })
    .catch(() => { $('progress').textContent = 'Not saved: is stemclean review still running?'; });
}

const options = {
  get(name) { return $('o-' + name).checked; },
  restore() {
    for (const name of ['keys', 'advance', 'play']) {
      const kept = storage.get('option:' + name);
      if (kept !== null) $('o-' + name).checked = kept === '1';
      $('o-' + name).addEventListener('change', () => storage.set('option:' + name, options.get(name) ? '1' : '0'));
    }
    $('by').value = storage.get('by') ?? '';
    $('by').addEventListener('input', () => storage.set('by', $('by').value));
  },
};

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
/** A level with a true minus sign. */
const dB = (level, digits = 0) => `${level.toFixed(digits).replace('-', '−')} dB`;
const words = (code) => String(code).replaceAll('_', ' ');
const named = (numbers) => numbers.map((number) => labels[number]);
const dot = (number) => make('span', {class: `dot c${number % 8}`, 'aria-hidden': 'true'});
/** Classes with their dots, as in "● bass + ● drums". */
function classes(numbers, none = 'nothing') {
  const shown = make('span', {class: 'classes'});
  if (!numbers.length) shown.append(make('span', {class: 'soft', text: none}));
  numbers.forEach((number, at) => shown.append(...(at ? [' + '] : []), dot(number), labels[number]));
  return shown;
}
