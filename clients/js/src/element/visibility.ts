/** Which elements are on the screen or close to it: one observer for all. */

type Listener = (visible: boolean) => void;

/** Elements this far outside are drawn too, so that scrolling shows no old state. */
const MARGIN = "200px";

const listeners = new WeakMap<Element, Listener>();
let observer: IntersectionObserver | null = null;

/** Tells when the element comes into view or leaves it; nothing is told where the browser cannot know. */
export function observe(element: Element, listener: Listener): void {
  if (typeof IntersectionObserver === "undefined") return;
  observer ??= new IntersectionObserver(
    (entries) => {
      for (const entry of entries) listeners.get(entry.target)?.(entry.isIntersecting);
    },
    { rootMargin: MARGIN },
  );
  listeners.set(element, listener);
  observer.observe(element);
}

export function unobserve(element: Element): void {
  observer?.unobserve(element);
  listeners.delete(element);
}
