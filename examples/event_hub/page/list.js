// A list that was asked for once, and is kept true by events. It says itself where its channel stood when it was made,
// so that it is known of each event whether the list holds it already.

// Events that wait while the list is asked for; with more it is asked for once more.
const WAITING = 2_000;

function position(text) {
  const [epoch, seq] = text.split(':');
  return { epoch, seq: Number(seq) };
}

export class List {
  #ask;
  #apply;
  #at = null;
  #waiting = null;
  #isOld = false;

  /**
   * @param ask Asks for the list, shows it, and gives its `as_of`.
   * @param apply Changes what is shown by an event.
   */
  constructor(ask, apply) {
    this.#ask = ask;
    this.#apply = apply;
  }

  /** Asks for it anew; while it is being asked for, once more afterwards. */
  async renew() {
    this.#isOld = true;
    if (this.#waiting) {
      return;
    }
    this.#waiting = [];
    try {
      while (this.#isOld) {
        this.#isOld = false;
        this.#at = position(await this.#ask());
      }
    } finally {
      const waiting = this.#waiting;
      this.#waiting = null;
      this.#isOld = waiting.map((frame) => this.take(frame)).includes(false);
    }
    if (this.#isOld) {
      await this.renew();
    }
  }

  /** Takes an event of its channel; says whether all that came before it is known. */
  take(frame) {
    if (this.#waiting) {
      if (this.#waiting.length < WAITING) {
        this.#waiting.push(frame);
      } else {
        this.#isOld = true;
      }
      return true;
    }
    const { channel_epoch: epoch, channel_seq: seq, channel_from: from = seq, event } = frame;
    if (epoch !== this.#at?.epoch) {
      return false;
    }
    if (seq <= this.#at.seq) {
      return true;
    }
    this.#at.seq = seq;
    this.#apply(event);
    // It stands for others too, and not all of them may have been worth nothing.
    return from === seq;
  }
}
