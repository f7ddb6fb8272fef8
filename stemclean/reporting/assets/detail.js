// The chosen stem: what it claims, what was found, how it sounds, and the decision about it.
function sentence(stem) {
  const text = make('p', {class: 'verdict'});
  text.append('Claims ', classes(stem.claimed, 'no class'), '; ');
  if (stem.found === undefined) text.append('was not judged.');
  else text.append('holds ', classes(stem.found, 'no known class'), '.');
  if (stem.reason) text.append(' ', make('span', {class: `chip ${stem.action}`, text: stem.action}), make('span', {class: 'soft', text: ` ${settings.reasons[stem.reason] ?? words(stem.reason)}.`}));
  return text;
}

function facts(stem) {
  const list = make('dl', {class: 'facts'});
  const add = (name, value) => { if (value) list.append(make('div', {}, make('dt', {text: name}), make('dd', {}, value))); };
  add('label quality', stem.quality === undefined ? '' : stem.quality.toFixed(3));
  add('length', `${clock(stem.seconds)} min`);
  add('loudness', stem.lufs === undefined ? '' : `${stem.lufs.toFixed(1)} LUFS`.replace('-', '−'));
  add('peak', stem.peak === undefined ? '' : `${stem.peak.toFixed(1)} dBFS`.replace('-', '−'));
  add('format', `${stem.rate / 1000} kHz, ${stem.channels === 1 ? 'mono' : stem.channels === 2 ? 'stereo' : stem.channels + ' channels'}`);
  add('split', stem.split ?? '');
  return list;
}

function scores(stem) {
  if (!stem.scores.length) return null;
  const rows = labels.map((label, number) => {
    const score = stem.scores[number];
    if (score === null || score === undefined) return null;
    return make('div', {class: `score c${number % 8}`},
      make('span', {}, dot(number), label, make('small', {text: stem.claimed.includes(number) ? ' claimed' : ''})),
      make('span', {class: 'meter', 'aria-hidden': 'true'}, make('i', {style: `width:${100 * score}%`})),
      make('b', {text: score.toFixed(2)}));
  });
  return make('section', {class: 'scores'}, make('h3', {text: 'Scores'}), ...rows);
}

function bleeding(stem) {
  if (!stem.bleed.length) return null;
  const lines = stem.bleed.map((bleed) => make('li', {},
    ...(bleed.label === undefined ? [] : [dot(bleed.label), labels[bleed.label]]),
    make('b', {text: ' ' + dB(bleed.db)}), ' from ', make('bdi', {text: bleed.from}),
    make('small', {class: 'soft', text: ' ' + bleed.spans.slice(0, 4).map(([start, end]) => `${clock(start)}–${clock(end)}`).join(', ') + (bleed.spans.length > 4 ? ', …' : '')})));
  return make('section', {class: 'bleeding'}, make('h3', {text: 'Measured bleed'}), make('ul', {}, ...lines));
}

function issues(stem) {
  if (!stem.issues.length) return null;
  const lines = stem.issues.map(([code, severity, detail]) => make('li', {},
    make('span', {class: `severity ${severity}`, text: severity}), ` ${words(code)}`, make('small', {class: 'soft', text: detail ? `: ${detail}` : ''})));
  return make('section', {class: 'issues'}, make('h3', {text: 'Issues'}), make('ul', {}, ...lines));
}

function noteField(stem) {
  const field = make('textarea', {id: 'note', rows: 1, maxlength: 2000, placeholder: 'Note ( n )', dir: 'auto'});
  field.value = decisions.get(stem.key)?.note ?? notes.get(stem.key) ?? '';
  field.addEventListener('change', () => {
    const decision = decisions.get(stem.key);
    if (decision) remember(stem, {...decision, note: field.value});
    else {
      notes.set(stem.key, field.value);
      if (!settings.served) storage.set('note:' + stem.key, field.value || null);
    }
  });
  return make('label', {class: 'note'}, make('span', {class: 'hidden', text: 'Note'}), field);
}

function buttons(stem) {
  const decision = decisions.get(stem.key);
  const button = (action, key, text, act) => make('button', {
    type: 'button', class: `act ${action}`, id: action, 'aria-pressed': String(decision?.action === action), 'aria-keyshortcuts': key, onclick: act,
  }, text, ' ', make('kbd', {text: key, 'aria-hidden': 'true'}));
  return make('div', {class: 'actions', role: 'group', 'aria-label': 'Decision'},
    button('accept', 'a', 'Accept the claim', () => decide('accept')),
    button('relabel', 'r', 'Relabel …', openRelabel),
    button('drop', 'd', 'Drop', () => decide('drop')));
}

function players(stem) {
  const hasClip = Boolean(stem.clip), length = stem.worst ? Math.round(stem.worst[1] - stem.worst[0]) : 0;
  const worst = make('button', {type: 'button', id: 'play', class: 'play', 'aria-keyshortcuts': 'Space', disabled: !hasClip && !(stem.url && stem.worst), onclick: playWorst},
    make('span', {class: 'icon', 'aria-hidden': 'true'}), make('span', {text: stem.worst ? `Worst ${length} seconds, from ${clock(stem.worst[0])}` : 'No excerpt'}), ' ', make('kbd', {text: 'space', 'aria-hidden': 'true'}));
  const whole = make('button', {type: 'button', id: 'play-whole', class: 'play', 'aria-keyshortcuts': 'w', disabled: !stem.url, onclick: () => playWhole()},
    make('span', {class: 'icon', 'aria-hidden': 'true'}), make('span', {text: stem.url ? `Whole stem, ${clock(stem.seconds)}` : 'The file is not near this page'}), ' ', make('kbd', {text: 'w', 'aria-hidden': 'true'}));
  return make('div', {class: 'players'}, worst, whole);
}

function showDetail(stem) {
  const detail = $('detail');
  if (!stem) return detail.replaceChildren(make('p', {class: 'none', text: 'No stem matches.'}));
  const decision = decisions.get(stem.key);
  detail.setAttribute('aria-labelledby', 'detail-title');
  const parts = [
    make('header', {}, make('h2', {id: 'detail-title'}, make('bdi', {text: stem.id})), make('p', {class: 'path soft'}, make('bdi', {text: stem.path}))),
    sentence(stem), buttons(stem),
    decision ? make('p', {class: 'decision', id: 'decision', text: said(decision)}) : null,
    noteField(stem), players(stem), plotOf(stem),
    make('div', {class: 'evidence'}, ...[scores(stem), bleeding(stem), issues(stem)].filter(Boolean)), facts(stem),
  ];
  detail.replaceChildren(...parts.filter(Boolean));
  detail.scrollTop = 0;
}

function said(decision) {
  const done = {accept: 'Accepted', relabel: `Relabelled to ${decision.labels.join(' + ')}`, drop: 'Dropped'}[decision.action];
  return done + (decision.by ? ` by ${decision.by}` : '') + (decision.decided ? `, ${decision.decided.slice(0, 10)}` : '') + '. u undoes the last decision.';
}

// One audio element plays everything; 'until' ends an excerpt of a whole file.
const audio = new Audio();
audio.preload = 'none';
let playing = null;  // 'worst' or 'whole'
let offset = 0, until = Infinity;

function start(kind, source, {from = 0, at = 0, end = Infinity} = {}) {
  stop();
  playing = kind;
  offset = at;
  until = end;
  audio.src = source;
  if (from) audio.addEventListener('loadedmetadata', () => { audio.currentTime = from; }, {once: true});
  audio.play().catch((error) => { if (error.name !== 'AbortError') failed(); });
  showPlaying();
}

function failed() {
  if (!playing) return;
  toast(playing === 'whole' ? 'The browser cannot play this file from here; stemclean review can.' : 'The browser cannot play this clip (Ogg Opus).');
  stop();
}

function stop() {
  if (!playing) return;
  playing = null;
  audio.pause();
  audio.removeAttribute('src');
  showPlaying();
}

function playWorst() {
  if (!current) return;
  if (playing === 'worst') return stop();
  const clip = mediaOf(current, 'clip');
  if (clip) start('worst', clip, {at: current.worst[0]});
  else if (current.url && current.worst) start('worst', current.url, {from: current.worst[0], end: current.worst[1]});
  else toast('This stem has no excerpt.');
}

function playWhole(from = null) {
  if (!current?.url) return;
  if (playing === 'whole') {
    if (from === null) return stop();
    audio.currentTime = from;
    return;
  }
  start('whole', current.url, {from: from ?? 0});
}

function showPlaying() {
  for (const [id, kind] of [['play', 'worst'], ['play-whole', 'whole']]) $(id)?.classList.toggle('on', playing === kind);
  const head = $('playhead');
  if (!head) return;
  head.hidden = !playing;
  if (playing && current) {
    head.style.left = `${(100 * (offset + audio.currentTime)) / current.seconds}%`;
    if (audio.currentTime >= until) return stop();
    requestAnimationFrame(showPlaying);
  }
}
audio.addEventListener('ended', stop);
audio.addEventListener('error', () => { if (audio.getAttribute('src')) failed(); });
