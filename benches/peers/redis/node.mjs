// One process of a measurement: `node node.mjs bullmq|publish work|watch PORT`. Each line on its standard
// input is an order in JSON, each line on its standard output the answer to one; `stop` has none.
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const TASKS = 100;
/** Events of one process's life that a watcher tells apart. */
const MOST = 1 << 24;
/** As long as an event of 300 bytes leaves room for. */
const TEXT =
  "the render service is busy, so this attempt is made again a little later than the last one was";

/** The monotonic clock, which is the same one in both processes. */
const nowUs = () => Number(process.hrtime.bigint() / 1000n);

class Source {
  #send;
  #next = 0;
  #stopped = false;

  constructor(send) {
    this.#send = send;
  }

  #one() {
    const seq = this.#next++;
    return this.#send(seq % TASKS, {
      task_id: `progress:${seq % TASKS}`,
      epoch: "18f2c1a7b3d",
      seq,
      event_type: "measured",
      timestamp: "2026-11-22T13:56:13.123Z",
      data: { sent_us: nowUs(), text: TEXT },
    });
  }

  /** As fast as they are answered, so many at a time. */
  async closed({ in_flight, ms }) {
    const began = nowUs();
    const first = this.#next;
    let refused = 0;
    const lane = async () => {
      while (nowUs() - began < ms * 1000) {
        await this.#one().catch(() => refused++);
      }
    };
    await Promise.all(Array.from({ length: in_flight }, lane));
    return { began, ended: nowUs(), sent: this.#next - first, refused };
  }

  /** Ends what is paced before its time. */
  stop() {
    this.#stopped = true;
  }

  /** So many each millisecond, whatever becomes of those before. */
  async paced({ each, ticks }) {
    this.#stopped = false;
    const began = nowUs();
    const first = this.#next;
    let refused = 0;
    let open = 0;
    for (let tick = 0; tick < ticks && !this.#stopped; ) {
      while (tick < ticks && nowUs() >= began + tick * 1000) {
        for (let n = 0; n < each; n++) {
          open++;
          this.#one()
            .catch(() => refused++)
            .finally(() => open--);
        }
        tick++;
      }
      await sleep(1);
    }
    const ended = nowUs();
    while (open > 0 && nowUs() - ended < 15e6) await sleep(5);
    return { began, ended, sent: this.#next - first, refused, unanswered: open };
  }
}

class Seen {
  #times = new Uint8Array(MOST);
  #begin() {
    this.came = 0;
    this.distinct = 0;
    this.last = nowUs();
    this.silence = 0;
    this.late = [];
  }

  constructor() {
    this.#begin();
  }

  take({ seq, data }) {
    const now = nowUs();
    this.came++;
    if (this.#times[seq]++ === 0) this.distinct++;
    this.silence = Math.max(this.silence, now - this.last);
    this.last = now;
    this.late.push(now - data.sent_us);
  }

  begin() {
    this.#begin();
    return {};
  }

  /** Waits until so many have come, or none has for so long. */
  async until({ count, quiet_ms }) {
    const asked = nowUs();
    while (
      this.distinct < count &&
      nowUs() - Math.max(this.last, asked) < quiet_ms * 1000
    ) {
      await sleep(2);
    }
    const late = Float64Array.from(this.late).sort();
    const quantile = (part) => late[Math.floor((late.length - 1) * part)] / 1000;
    return {
      distinct: this.distinct,
      repeated: this.came - this.distinct,
      last: this.last,
      silence_ms: this.silence / 1000,
      p50_ms: quantile(0.5),
      p99_ms: quantile(0.99),
    };
  }
}

const [peer, role, port] = process.argv.slice(2);
if (!["bullmq", "publish"].includes(peer)) throw new Error(`no such peer: ${peer}`);
const { work, watch } = await import(`./${peer}.mjs`);
let own;
if (role === "work") {
  own = new Source((await work(Number(port), TASKS)).send);
} else {
  own = new Seen();
  await watch(Number(port), TASKS, (event) => own.take(event));
}
console.log(JSON.stringify({ ready: true }));
const orders = createInterface({ input: process.stdin });
orders.on("line", async (line) => {
  const order = JSON.parse(line);
  const answer = await own[order.do](order);
  if (answer) console.log(JSON.stringify(answer));
});
orders.on("close", () => process.exit(0));
