// The keyboard.
const KEYS = {
  ' ': () => playWorst(), w: () => playWhole(), j: () => step(1), k: () => step(-1), a: () => decide('accept'),
  r: () => openRelabel(), d: () => decide('drop'), u: () => undo(),
  n: () => { $('note')?.focus(); }, '/': () => { $('search').focus(); $('search').select(); }, '?': () => openHelp(),
};
const ANYWHERE = ['/', '?', 'u'];
const IN_LIST = {ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -1e9, End: 1e9};

function openHelp() {
  $('shortcuts').showModal();
}

// Nobody decides on a stem out of sight: the first key only brings the stems into view.
function bringIntoView() {
  const box = $('detail').getBoundingClientRect();
  if (box.top < innerHeight / 2 && box.bottom > innerHeight / 4) return false;
  $('stems').scrollIntoView({behavior: 'auto'});
  return true;
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const target = event.target;
  const typing = target.matches('textarea, select, input:not([type=checkbox])');
  if (typing) {
    if (event.key === 'Escape') $('list').focus({preventScroll: true});
    return;
  }
  if (target === $('list') && event.key in IN_LIST) {
    event.preventDefault();
    return step(IN_LIST[event.key]);
  }
  const act = KEYS[event.key];
  if (!act || !options.get('keys')) return;
  if (event.key === ' ' && target.matches('button, summary, a, input')) return;  // the space bar presses what has the focus
  event.preventDefault();
  if (ANYWHERE.includes(event.key) || !bringIntoView()) act();
});
$('help').addEventListener('click', openHelp);
$('close-help').addEventListener('click', () => $('shortcuts').close());
