/** The rule by which a client knows repeats, what continues, and holes that nobody declared. */

/** Where a reader of a log stands: at `last` of `epoch`; null where the first event will tell. */
export interface Place {
  epoch: string | null;
  last: number | null;
}

/**
 * What an event that stands for `from` to `seq` is to a reader who stands at `place`, which moves to it where it
 * is taken. After a `hole` the reader has to come back with the last position.
 */
export function step(place: Place, epoch: string, from: number, seq: number): "take" | "repeat" | "hole" {
  if (epoch !== place.epoch) return "hole";
  if (place.last !== null) {
    if (seq <= place.last) return "repeat";
    if (from > place.last + 1) return "hole";
  }
  place.last = seq;
  return "take";
}

/** Goes on in a log, from where it stood if it is the same. Whether it is. */
export function enter(place: Place, epoch: string): boolean {
  if (place.epoch === epoch) return true;
  place.epoch = epoch;
  place.last = null;
  return false;
}

/** The position to come back with, `epoch:seq`; null for none. */
export const positionOf = ({ epoch, last }: Place): string | null => (last === null ? null : `${epoch}:${last}`);
