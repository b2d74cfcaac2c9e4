// One file's row.

import { client } from './batch.js';
import { drawBlurhash } from './blurhash.js';
import { ProgressView } from './dashboard/progress-view.js';
import { Bar, Chip, make, problem, setData, setHidden, setText } from './dom.js';
import { GLUE, activity, bytes, stageWord } from './words.js';

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
  // The end that the outcome shows.
  #ended = null;

  constructor(template, id) {
    const root = template.content.firstElementChild.cloneNode(true);
    this.root = root;
    root.dataset.task = id;
    this.#bar = new Bar(root);
    this.#chip = new Chip(root.querySelector('.chip'));
    this.#name = root.querySelector('.name');
    this.#activity = root.querySelector('.activity');
    this.#outcome = root.querySelector('.outcome');
    this.#thumb = root.querySelector('.thumb');
    this.#name.id = `name-${id}`;
    this.#bar.element.setAttribute('aria-labelledby', this.#name.id);
    this.#listenToDetails(root.querySelector('.more'), id);
  }

  show(task) {
    const { state } = task;
    setData(this.root, 'state', state);
    if (this.#name.title !== task.name) {
      this.#name.title = task.name;
      setText(this.#name, task.name);
    }
    this.#chip.show(state);
    const words = task.isEnded ? summary(task) : activity(task);
    setText(this.#activity, words);
    this.#bar.show(task, words);
    if (task.isEnded) {
      this.#showEnd(task.snapshot);
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
  const { result, error } = task.snapshot;
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

function uncapital(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
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
  if (blurhash && drawBlurhash(canvas, blurhash, width, height)) {
    canvas.hidden = false;
    thumb.querySelector('.icon').remove();
  }
}
