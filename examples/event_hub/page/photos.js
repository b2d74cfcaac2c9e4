// The pictures of a session, with what reviewers can say of them.

import { blobUrl, post } from './api.js';
import { bytes } from './words.js';

const WORDS = { imported: 'being analysed', pending: 'pending', approved: 'approved', rejected: 'rejected' };

/** Shows pictures; `mayReview` says whether with buttons, `onProblem` is told what went wrong. */
export class Photos {
  #list = document.querySelector('#photos');
  #template = document.querySelector('#photo');
  #empty = document.querySelector('#no-photos');
  #known = new Map();
  #mayReview;
  #onProblem;

  constructor({ mayReview, onProblem }) {
    this.#mayReview = mayReview;
    this.#onProblem = onProblem;
  }

  /** Puts these in place of all. */
  replace(photos) {
    const kept = new Set(photos.map((photo) => photo.photo_id));
    for (const id of this.#known.keys()) {
      if (!kept.has(id)) {
        this.#remove(id);
      }
    }
    for (const photo of photos.toReversed()) {
      this.put(photo);
    }
  }

  /** Adds a picture, or changes what is known of one. */
  put(change) {
    const id = change.photo_id;
    let shown = this.#known.get(id);
    if (!shown) {
      if (!change.name) {
        return;
      }
      shown = { photo: {}, element: this.#make(id) };
      this.#known.set(id, shown);
      this.#list.prepend(shown.element);
    }
    Object.assign(shown.photo, change);
    this.#render(shown);
    this.#empty.hidden = true;
  }

  #remove(id) {
    const { element } = this.#known.get(id);
    URL.revokeObjectURL(element.querySelector('img').src);
    element.remove();
    this.#known.delete(id);
    this.#empty.hidden = this.#known.size > 0;
  }

  #make(id) {
    const element = this.#template.content.firstElementChild.cloneNode(true);
    element.dataset.photo = id;
    const act = async (path, body) => {
      try {
        this.put(await post(`/api/photos/${id}/${path}`, body));
      } catch (error) {
        this.#onProblem(error);
      }
    };
    element.querySelector('.approve').onclick = () => act('approve');
    element.querySelector('.reject').onclick = () => act('reject', {});
    element.querySelector('.select').onclick = () =>
      act('select', { selected: !this.#known.get(id).photo.selected });
    return element;
  }

  #render({ photo, element }) {
    const part = (name) => element.querySelector(`.${name}`);
    const { facts } = photo;
    element.dataset.state = photo.state;
    part('name').textContent = photo.name;
    const size = facts ? `${facts.width} × ${facts.height}, ` : '';
    part('facts').textContent = `${size}${bytes(photo.bytes)}`;
    part('chip').textContent = photo.state === 'approved' || photo.state === 'rejected'
      ? `${WORDS[photo.state]} by ${photo.decided_by}`
      : WORDS[photo.state];
    element.querySelector('img').alt = photo.name;
    part('actions').hidden = !this.#mayReview || photo.state === 'imported';
    for (const button of element.querySelectorAll('.actions button')) {
      button.ariaLabel = `${button.textContent} ${photo.name}`;
    }
    part('approve').disabled = photo.state === 'approved';
    part('reject').disabled = photo.state === 'rejected';
    part('select').ariaPressed = String(Boolean(photo.selected));
    if (photo.state !== 'imported' && !element.dataset.pictured) {
      element.dataset.pictured = 'yes';
      this.#picture(photo, element.querySelector('img'));
    }
  }

  async #picture({ photo_id: id }, img) {
    try {
      img.src = await blobUrl(`/api/photos/${id}/thumbnail`);
    } catch {
      // It is known without.
    }
  }
}
