// Decisions: made, undone, downloaded, loaded.
function decide(action, chosen = null) {
  const stem = current;
  if (!stem) return;
  const before = decisions.get(stem.key) ?? null;
  const note = $('note')?.value ?? '';
  const holds = action === 'drop' ? [] : chosen ?? named(stem.claimed);
  if (action !== 'drop' && !holds.length) return toast('It claims no class: relabel it instead.');
  if (stem.split === 'test' || stem.split === 'validation') toast('A declared test or validation stem keeps its labels whatever is decided.');
  undone.push([stem.key, before]);
  remember(stem, {action, labels: holds, note, by: $('by').value, decided: new Date().toISOString().slice(0, 19) + 'Z'});
  notes.delete(stem.key);
  if (!settings.served) storage.set('note:' + stem.key, null);
  redraw(stem);
  $('list').focus({preventScroll: true});
  toast(`${said(decisions.get(stem.key)).replace(/\. u undoes.*/, '')}: ${stem.id}`);
  if (options.get('advance') && shown.indexOf(stem) < shown.length - 1) step(1);
  else showDetail(stem);
}

function undo() {
  const last = undone.pop();
  if (!last) return toast('Nothing to undo.');
  const stem = stems.find((one) => one.key === last[0]);
  remember(stem, last[1]);
  redraw(stem);
  if (stem === current) showDetail(stem);
  else if (shown.includes(stem)) choose(stem);
  toast(`Undone: ${stem.id}`);
}

function openRelabel() {
  if (!current) return;
  const before = decisions.get(current.key)?.action === 'relabel' ? decisions.get(current.key).labels : named(current.found ?? []);
  $('relabel-name').textContent = current.id;
  $('relabel-classes').replaceChildren(...labels.map((label, number) => make('label', {class: 'choice'},
    make('input', {type: 'checkbox', name: 'class', value: label, checked: before.includes(label)}),
    dot(number), label, number < 9 ? make('kbd', {text: number + 1, 'aria-hidden': 'true'}) : null)));
  $('choose-classes').showModal();
  $('relabel-classes').querySelector('input')?.focus();
}
$('relabel-form').addEventListener('submit', (event) => {
  const chosen = [...$('relabel-classes').querySelectorAll('input:checked')].map((box) => box.value);
  if (!chosen.length) {
    event.preventDefault();
    return toast('Choose a class, or drop the stem.');
  }
  decide('relabel', chosen);
});
$('choose-classes').addEventListener('keydown', (event) => {
  const box = /^[1-9]$/.test(event.key) && $('relabel-classes').querySelectorAll('input')[Number(event.key) - 1];
  if (box) {
    box.checked = !box.checked;
    event.preventDefault();
  } else if (event.key === 'Enter' && event.target.type === 'checkbox') {
    event.preventDefault();
    $('relabel-form').requestSubmit();
  }
});
$('choose-classes').addEventListener('close', () => $('list').focus({preventScroll: true}));
$('relabel-cancel').addEventListener('click', () => $('choose-classes').close());

$('download').addEventListener('click', () => {
  const address = URL.createObjectURL(new Blob([decisionsFile()], {type: 'application/json'}));
  const link = make('a', {href: address, download: 'decisions.json'});
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
});

$('load').addEventListener('change', async () => {
  const file = $('load').files[0];
  if (!file) return;
  try {
    const document = JSON.parse(await file.text());
    if (document.schema !== 'stemclean.decisions/1') throw new Error('schema');
    let found = 0;
    for (const value of document.decisions) {
      const decision = checked(value);
      const alike = stems.filter((stem) => (stem.sha256 ?? null) === value.sha256 && (stem.stream ?? 0) === (value.stream ?? 0));
      const stem = alike.find((one) => (one.raw ?? one.id) === value.id) ?? (value.sha256 ? alike[0] : null);
      if (!decision || !stem) continue;
      undone.push([stem.key, decisions.get(stem.key) ?? null]);
      remember(stem, decision);
      found++;
    }
    toast(`${found} of ${document.decisions.length} decisions are about stems of this page.`);
  } catch {
    toast('This file holds no decisions of stemclean.');
  }
  $('load').value = '';
  applyFilters();
  showDetail(current);
  showProgress();
});

let toastTimer = 0;
function toast(text) {
  $('toast').textContent = text;
  $('toast').classList.add('on');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $('toast').classList.remove('on'), 3500);
}
