/** Channels: their newest events, and from where on to watch. */

import { step } from "./continuity.js";
import { isChannelEvent, type ControlFrame, type Frame } from "./frames.js";
import { Topic } from "./topic.js";
import type { ChannelEvent, ChannelView, ConnectionState } from "./types.js";

export class ChannelTopic extends Topic<ChannelView, ChannelEvent> {
  #events: readonly ChannelEvent[] = [];

  take(frame: Frame): boolean {
    if (!isChannelEvent(frame)) {
      this.#control(frame as ControlFrame & { events?: readonly ChannelEvent[] });
      return true;
    }
    // Before the verdict: of a watch of it that was let go, on its way still.
    if (this.place.epoch === null) return true;
    const { channel_epoch, channel_seq, channel_from = channel_seq } = frame;
    const kind = step(this.place, channel_epoch, channel_from, channel_seq);
    if (kind === "take") this.#push(frame);
    return kind !== "hole";
  }

  recap(): Frame | null {
    const { epoch, last } = this.place;
    return epoch === null
      ? null
      : ({
          event_type: "subscribed",
          channel: this.id,
          data: { epoch, seq: last ?? 0, last, resume: "fresh" },
          events: this.#events,
        } as ControlFrame);
  }

  protected build(before: ChannelView | undefined, connection: ConnectionState): ChannelView {
    const { error } = this;
    const events = this.#events;
    return before && before.connection === connection && before.events === events && before.error === error
      ? before
      : { channel: this.id, connection, events, error };
  }

  #control(frame: ControlFrame & { events?: readonly ChannelEvent[] }): void {
    const { place, replay } = this;
    const isNew = place.epoch === null;
    if (place.last !== null && place.epoch === frame.data?.epoch) {
      // Another tab has what this one has slept through.
      for (const event of frame.events ?? []) {
        if (event.channel_seq <= place.last) continue;
        place.last = event.channel_seq;
        this.#push(event);
      }
    }
    if (this.enter(frame) !== "other") return;
    // Another tab has what there was: the newest of it, as much as was asked for.
    const keep = { all: Infinity, latest: 1, none: 0 }[replay];
    if (frame.events) for (const event of isNew && keep ? frame.events.slice(-keep) : []) this.#push(event);
    // From the head on: also if the connection is lost before anything has come.
    else if (isNew && replay === "none") place.last = frame.data?.seq ?? null;
  }

  #push(event: ChannelEvent): void {
    this.#events = [...this.#events, event].slice(-this.host.channelEvents);
    for (const sink of this.sinks) sink.offer(event);
    this.host.changed(this);
  }
}
