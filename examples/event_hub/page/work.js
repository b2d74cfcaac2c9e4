// Jobs that wait or run, in their order, with buttons to change it.

import { patch } from './api.js';

const ENDED_SHOWN = 3;

export class Work {
  #list = document.querySelector('#jobs');
  #empty = document.querySelector('#no-jobs');
  #jobs = new Map();
  #order = [];
  #mayOrder;
  #onProblem;

  constructor({ mayOrder, onProblem }) {
    this.#mayOrder = mayOrder;
    this.#onProblem = onProblem;
  }

  /** Puts these, the newest first, in place of all. */
  replace(jobs) {
    this.#jobs = new Map(jobs.toReversed().map((job) => [job.job_id, job]));
    this.#render();
  }

  put(change) {
    const job = this.#jobs.get(change.job_id) ?? { state: 'waiting', current: 0 };
    this.#jobs.set(change.job_id, Object.assign(job, change));
    this.#render();
  }

  /** Puts those that wait in their order. */
  order({ next }) {
    this.#order = next.map((waiting) => waiting.job_id);
    for (const { job_id: id, priority } of next) {
      const job = this.#jobs.get(id);
      if (job) {
        job.priority = priority;
      }
    }
    this.#render();
  }

  #render() {
    const jobs = [...this.#jobs.values()];
    const of = (state) => jobs.filter((job) => job.state === state);
    const place = (job) => (this.#order.indexOf(job.job_id) + this.#order.length + 1) % (this.#order.length + 1);
    const waiting = of('waiting').sort((one, other) => place(one) - place(other));
    const ended = jobs.filter((job) => job.state === 'completed' || job.state === 'failed');
    const shown = [...of('running'), ...waiting, ...ended.slice(-ENDED_SHOWN).reverse()];
    this.#list.replaceChildren(...shown.map((job) => this.#row(job)));
    this.#empty.hidden = shown.length > 0;
  }

  #row(job) {
    const row = document.createElement('li');
    row.className = 'job';
    row.dataset.state = job.state;
    row.dataset.job = job.job_id;
    const name = document.createElement('span');
    name.textContent = `Import of ${job.total} ${job.total === 1 ? 'picture' : 'pictures'}`;
    const state = document.createElement('span');
    state.className = 'chip';
    state.textContent = job.state === 'running' ? `${job.current} of ${job.total}` : job.state;
    row.append(name, state);
    if (job.state === 'running') {
      const bar = document.createElement('progress');
      bar.max = job.total;
      bar.value = job.current;
      bar.ariaLabel = name.textContent;
      row.append(bar);
    }
    if (job.state === 'waiting') {
      row.append(this.#priority(job));
    }
    if (job.error) {
      const problem = document.createElement('span');
      problem.className = 'bad';
      problem.textContent = job.error.message;
      row.append(problem);
    }
    return row;
  }

  #priority(job) {
    const label = document.createElement('label');
    const field = document.createElement('select');
    field.disabled = !this.#mayOrder;
    for (let priority = 9; priority >= 0; priority -= 1) {
      field.add(new Option(String(priority), String(priority), false, priority === job.priority));
    }
    field.onchange = async () => {
      try {
        await patch(`/api/jobs/${job.job_id}`, { priority: Number(field.value) });
      } catch (error) {
        this.#onProblem(error);
      }
    };
    label.append('priority ', field);
    return label;
  }
}
