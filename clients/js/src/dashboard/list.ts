import { make, setAttribute } from "../element/dom.js";

/** A row on the screen: used for one item after another. */
export interface RowFace<T> {
  readonly root: HTMLElement;
  draw(item: T): void;
}

export interface ListOptions<T> {
  readonly label: string;
  /** Every row is as high, in px. */
  readonly rowHeight: number;
  readonly create: () => RowFace<T>;
  /** Somebody chose the item. */
  readonly choose: (id: string) => void;
  /** The rows on the screen are to be drawn, for the list was scrolled or walked through. */
  readonly moved: () => void;
}

/** Rows above and below those on the screen, so that scrolling finds them there. */
const OVERSCAN = 6;

/**
 * A list box of which only the rows on the screen are in the page, for lists of any length. A row keeps its
 * element as long as it is shown, whatever the order becomes. `aria-setsize` and `aria-posinset` tell what is
 * not there.
 */
export class VirtualList<T extends { readonly id: string }> {
  readonly root: HTMLElement;
  readonly #options: ListOptions<T>;
  readonly #space = make("div", { class: "space", role: "presentation" });
  readonly #faces = new Map<string, Placed<T>>();
  readonly #resize: ResizeObserver;
  #items: readonly T[] = [];
  #active: string | null = null;
  #chosen: string | null = null;
  #top = 0;
  #height = 0;

  constructor(options: ListOptions<T>) {
    this.#options = options;
    this.root = make("div", { class: "list", role: "listbox", tabindex: "0", "aria-label": options.label }, this.#space);
    this.root.addEventListener("scroll", () => {
      this.#top = this.root.scrollTop;
      options.moved();
    }, { passive: true });
    this.root.addEventListener("keydown", (event) => this.#key(event));
    this.root.addEventListener("focus", () => {
      this.#active ??= this.#chosen ?? this.#items[0]?.id ?? null;
      options.moved();
    });
    this.#space.addEventListener("click", (event) => this.#click(event));
    this.#resize = new ResizeObserver(([entry]) => {
      this.#height = entry?.contentRect.height ?? 0;
      options.moved();
    });
    this.#resize.observe(this.root);
  }

  get items(): readonly T[] {
    return this.#items;
  }

  /** The items, in their order; shown with the next {@link draw}. */
  set items(items: readonly T[]) {
    this.#items = items;
  }

  /** The item that was chosen. */
  set chosen(id: string | null) {
    this.#chosen = id;
    if (id !== null) this.#active = id;
  }

  focus(): void {
    this.root.focus();
  }

  /** Brings the rows on the screen up to date; `latest` gives the newest of an item. */
  draw(latest: (item: T) => T): void {
    const { rowHeight } = this.#options;
    const items = this.#items;
    const height = `${items.length * rowHeight}px`;
    if (this.#space.style.height !== height) this.#space.style.height = height;

    const first = Math.max(0, Math.floor(this.#top / rowHeight) - OVERSCAN);
    const last = Math.min(items.length, Math.ceil((this.#top + this.#height) / rowHeight) + OVERSCAN);
    const shown = new Map<string, number>();
    const active = this.#activeIndex();
    // What `aria-activedescendant` names has to be there, also where it was scrolled away.
    if (active !== -1 && active < first) shown.set(items[active]!.id, active);
    for (let index = first; index < last; index++) shown.set(items[index]!.id, index);
    if (active >= last) shown.set(items[active]!.id, active);

    for (const [id, placed] of this.#faces) {
      if (shown.has(id)) continue;
      placed.face.root.remove();
      this.#faces.delete(id);
    }
    let before: Element | null = null;
    for (const [id, index] of shown) {
      const placed = this.#placed(id);
      const { root } = placed.face;
      this.#place(placed, items[index]!, index, latest);
      // The order in the page is that of the list, for who reads on from row to row.
      const next: Element | null = before === null ? this.#space.firstElementChild : before.nextElementSibling;
      if (next !== root) this.#space.insertBefore(root, next);
      before = root;
    }
    setAttribute(this.root, "aria-activedescendant", active === -1 ? null : this.#faces.get(items[active]!.id)!.face.root.id);
  }

  #placed(id: string): Placed<T> {
    let placed = this.#faces.get(id);
    if (placed === undefined) {
      const face = this.#options.create();
      setAttribute(face.root, "role", "option");
      setAttribute(face.root, "id", `row-${++made}`);
      face.root.dataset.id = id;
      this.#faces.set(id, (placed = { face, item: null, index: -1, size: -1, chosen: null, active: false }));
    }
    return placed;
  }

  #place(placed: Placed<T>, listed: T, index: number, latest: (item: T) => T): void {
    const { root } = placed.face;
    if (placed.index !== index) {
      placed.index = index;
      root.style.transform = `translateY(${index * this.#options.rowHeight}px)`;
      setAttribute(root, "aria-posinset", String(index + 1));
    }
    if (placed.size !== this.#items.length) {
      placed.size = this.#items.length;
      setAttribute(root, "aria-setsize", String(placed.size));
    }
    const chosen = listed.id === this.#chosen;
    if (placed.chosen !== chosen) {
      placed.chosen = chosen;
      setAttribute(root, "aria-selected", String(chosen));
    }
    const active = listed.id === this.#active;
    if (placed.active !== active) {
      placed.active = active;
      root.classList.toggle("active", active);
    }
    const item = latest(listed);
    if (placed.item !== item) {
      placed.item = item;
      placed.face.draw(item);
    }
  }

  #activeIndex(): number {
    if (this.#active === null) return -1;
    // Where it stood is where it stands, most of the time.
    const known = this.#faces.get(this.#active)?.index ?? -1;
    if (this.#items[known]?.id === this.#active) return known;
    return this.#items.findIndex(({ id }) => id === this.#active);
  }

  #click(event: Event): void {
    const row = (event.target as Element).closest<HTMLElement>("[role=option]");
    if (row?.dataset.id === undefined) return;
    this.#active = row.dataset.id;
    this.#options.choose(row.dataset.id);
  }

  #key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const page = Math.max(1, Math.floor(this.#height / this.#options.rowHeight) - 1);
    const steps: Record<string, number> = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: page,
      PageUp: -page,
      Home: -Infinity,
      End: Infinity,
    };
    const step = steps[event.key];
    if (step !== undefined) {
      this.#walk(step);
    } else if ((event.key === "Enter" || event.key === " ") && this.#active !== null) {
      this.#options.choose(this.#active);
    } else {
      return;
    }
    event.preventDefault();
  }

  #walk(step: number): void {
    const { rowHeight, moved } = this.#options;
    const count = this.#items.length;
    if (count === 0) return;
    const from = this.#activeIndex();
    const index = from === -1 ? 0 : Math.min(count - 1, Math.max(0, from + step));
    this.#active = this.#items[index]!.id;
    const top = index * rowHeight;
    if (top < this.#top) this.#scroll(top);
    else if (top + rowHeight > this.#top + this.#height) this.#scroll(top + rowHeight - this.#height);
    moved();
  }

  #scroll(top: number): void {
    this.root.scrollTop = top;
    this.#top = this.root.scrollTop;
  }
}

interface Placed<T> {
  readonly face: RowFace<T>;
  item: T | null;
  index: number;
  size: number;
  chosen: boolean | null;
  active: boolean;
}

let made = 0;
