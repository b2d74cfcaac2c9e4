// One file's row.

import { drawBlurhash } from './blurhash.js';
import { client } from './client.js';
import { ProgressView } from './dashboard/progress-view.js';
import { Bar, Chip, make, problem, setData, setHidden, setText } from './dom.js';
import { GLUE, activity, bytes, phaseOf, stageWord, uncapital } from './words.js';

// Of a file's log, so many lines are shown.
const LOG_LINES = 20;
const SHARPNESS = { sharp: 'sharp', soft: 'a little soft', blurred: 'blurred' };

// Drawing a thousand previews takes longer than a frame: each waits until it is looked at.
const previews = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (isIntersecting) {
        previews.unobserve(target);
        drawPreview(target, target.picture);
      }
    }
  },
  { rootMargin: '300px' },
);

export class Row {
  #bar;
  #chip;
  #name;
  #activity;
  #outcome;
  #thumb;
  #cancel;
  #actions;
  // The end that the outcome shows.
  #ended = null;

  /**
   * `actions` are what a page can do beyond showing, all of them optional: `cancel(id)`,
   * `thumbnail(id, element)`, and `instead(task)`, other words for what a task is at.
   */
  constructor(template, id, actions) {
    const root = template.content.firstElementChild.cloneNode(true);
    this.root = root;
    root.dataset.task = id;
    this.#bar = new Bar(root);
    this.#chip = new Chip(root.querySelector('.chip'));
    this.#name = root.querySelector('.name');
    this.#activity = root.querySelector('.activity');
    this.#outcome = root.querySelector('.outcome');
    this.#thumb = root.querySelector('.thumb');
    this.#actions = actions;
    this.#cancel = root.querySelector('.cancel');
    this.#cancel.addEventListener('click', () => actions.cancel(id));
    actions.thumbnail?.(id, this.#thumb);
    this.#name.id = `name-${id}`;
    this.#bar.element.setAttribute('aria-labelledby', this.#name.id);
    this.#listenToDetails(root.querySelector('.more'), id);
  }

  show(task) {
    const { state } = task;
    setData(this.root, 'state', state);
    const phase = phaseOf(task);
    setData(this.root, 'phase', phase);
    if (this.#name.title !== task.name) {
      this.#name.title = task.name;
      this.#cancel.setAttribute('aria-label', `Cancel ${task.name}`);
      setText(this.#name, task.name);
    }
    setHidden(this.#cancel, !this.#actions.cancel || task.isOver || task.snapshot === null);
    const instead = this.#actions.instead?.(task) ?? null;
    const words = task.isEnded ? summary(task) : (instead ?? activity(task));
    setText(this.#activity, words);
    this.#chip.show(instead === null ? phase : 'paused');
    // What waits has no time left that means anything.
    const waits = instead !== null || phase === 'retrying' || task.isWaiting;
    this.#bar.show({ state, progress: task.progress, due: waits ? null : task.due, isOver: task.isOver }, words);
    if (task.isEnded) {
      this.#showEnd(task.end);
    }
  }

  /** What few ask for is made when it is asked for. */
  #listenToDetails(button, id) {
    button.setAttribute('aria-describedby', this.#name.id);
    let details = null;
    button.addEventListener('click', () => {
      if (details) {
        details.remove();
        details = null;
      } else {
        details = new ProgressView();
        details.client = client;
        details.setAttribute('task', id);
        details.setAttribute('log', String(LOG_LINES));
        details.toggleAttribute('stages', true);
        this.#outcome.after(details);
      }
      button.setAttribute('aria-expanded', String(details !== null));
    });
  }

  #showEnd(end) {
    if (this.#ended === end) {
      return;
    }
    this.#ended = end;
    const parts = end.error ? problem(end.error) : findings(end.result);
    this.#outcome.replaceChildren(...parts);
    setHidden(this.#outcome, parts.length === 0);
    if (end.result?.image) {
      this.#thumb.picture = end.result.image;
      previews.observe(this.#thumb);
    }
  }
}

/** What came of a file, in one line. */
function summary(task) {
  const { result, error } = task.end;
  if (result) {
    const { image, size } = result;
    const picture = image
      ? [`${image.width}${GLUE}×${GLUE}${image.height}`, String(image.format).toUpperCase()]
      : [];
    return [...picture, bytes(size)].join(' · ');
  }
  if (error) {
    const stage = stageWord(task, error.stage);
    const size = error.details?.size;
    return [stage && `Stopped at: ${uncapital(stage)}`, size !== undefined && bytes(size)]
      .filter(Boolean)
      .join(' · ');
  }
  return activity(task);
}

function findings(result) {
  if (!result) {
    return [];
  }
  const { image } = result;
  const facts = make('p', 'facts');
  if (image) {
    facts.append(...[camera(image.exif), sharpness(image.sharpness)].filter(Boolean));
  }
  if (result.cached) {
    const fact = make('span', 'fact', 'Known already');
    fact.title = 'The same content was analysed before';
    facts.append(fact);
  }
  facts.append(checksum(result.sha256));
  return image?.colours?.length ? [facts, swatches(image.colours)] : [facts];
}

function camera(exif = {}) {
  const { make: maker, model, lens } = exif;
  // Most makers put their name into the model too.
  const named = maker && model?.toLowerCase().startsWith(maker.toLowerCase().split(' ')[0]);
  const name = named ? model : [maker, model].filter(Boolean).join(' ');
  const taken = exif.taken_at?.slice(0, 16);
  const text = [name, taken].filter(Boolean).join(', ');
  if (!text) {
    return null;
  }
  const fact = make('span', 'fact', text);
  const settings = [
    lens,
    exif.exposure_time,
    exif.f_number,
    exif.focal_length,
    exif.iso && `ISO ${exif.iso}`,
  ];
  fact.title = settings.filter(Boolean).join(', ');
  return fact;
}

function sharpness(found) {
  if (!found) {
    return null;
  }
  const fact = make('span', 'fact', `Sharpness: ${SHARPNESS[found.verdict] ?? found.verdict}`);
  fact.title = `Score ${Math.round(found.score)}`;
  return fact;
}

function checksum(sha256) {
  const fact = make('span', 'fact checksum', 'SHA-256 ', make('code', '', `${sha256.slice(0, 12)}…`));
  fact.title = sha256;
  return fact;
}

function swatches(colours) {
  const strip = make('div', 'swatches');
  const names = colours.map(({ hex, share }) => `${hex} ${Math.round(share * 100)}${GLUE}%`);
  strip.setAttribute('role', 'img');
  strip.setAttribute('aria-label', `Main colours: ${names.join(', ')}`);
  colours.forEach(({ hex, share }, at) => {
    const swatch = make('span', 'swatch');
    swatch.style.backgroundColor = hex;
    swatch.style.flexGrow = String(share);
    swatch.title = names[at];
    strip.append(swatch);
  });
  return strip;
}

function drawPreview(thumb, { blurhash, width, height }) {
  const canvas = thumb.querySelector('canvas');
  if (!canvas.hidden) {
    // The picture itself is there.
    return;
  }
  if (blurhash && drawBlurhash(canvas, blurhash, width, height)) {
    canvas.hidden = false;
    thumb.querySelector('.icon').remove();
  }
}
