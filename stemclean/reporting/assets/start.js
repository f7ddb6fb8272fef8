// Start.
const THEMES = {light: 'dark', dark: 'light'};
function theme() {
  return document.documentElement.dataset.theme ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light');
}
if (storage.get('theme') in THEMES) document.documentElement.dataset.theme = storage.get('theme');
$('theme').addEventListener('click', () => {
  document.documentElement.dataset.theme = THEMES[theme()];
  storage.set('theme', theme());
});

/** Printing shows a plain list of the stems that the filters let through. */
const PRINTED = 400;
addEventListener('beforeprint', () => {
  const rows = shown.slice(0, PRINTED).map((stem) => {
    const decision = decisions.get(stem.key), picture = mediaOf(stem, 'picture');
    return make('div', {class: 'printed'},
      make('div', {}, make('b', {}, make('bdi', {text: stem.id})), make('br'), classes(stem.claimed, 'no claim'), ' → ', classes(stem.found ?? [], 'nothing'),
        make('br'), make('small', {text: `${stem.action ?? 'not judged'}${stem.reason ? `: ${words(stem.reason)}` : ''}${stem.quality === undefined ? '' : `, quality ${stem.quality.toFixed(2)}`}`}),
        decision ? make('small', {class: 'decision', text: ` ${said(decision).replace(/\. u undoes.*/, '')}${decision.note ? `: ${decision.note}` : ''}`}) : null),
      picture ? make('img', {src: picture, alt: ''}) : null);
  });
  if (shown.length > PRINTED) rows.push(make('p', {text: `and ${shown.length - PRINTED} more`}));
  $('print').replaceChildren(make('h2', {text: 'Stems, worst first'}), ...rows);
});
addEventListener('afterprint', () => $('print').replaceChildren());

restore();
options.restore();
for (const button of document.querySelectorAll('[data-claimed]')) button.addEventListener('click', () => filterBy({claimed: button.dataset.claimed, found: button.dataset.found || '-'}));
for (const button of document.querySelectorAll('[data-issue]')) button.addEventListener('click', () => filterBy({issue: button.dataset.issue}));
$('filters').addEventListener('input', applyFilters);
$('filters').addEventListener('submit', (event) => event.preventDefault());
$('filters').addEventListener('reset', () => setTimeout(applyFilters));
if (!stems.some((stem) => stem.flagged)) $('f-state').value = 'all';
applyFilters();
showProgress();
if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', () => { if (current && !playing) showDetail(current); });
document.documentElement.dataset.ready = '';
