/** Small hands for the DOM. What tasks say only ever becomes text or an attribute's value, never markup. */

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Readonly<Record<string, string>> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Sets the only text of an element, if it is another; the text node stays the same. */
export function setText(element: Element, text: string): void {
  const node = element.firstChild as Text | null;
  if (node === null) {
    if (text !== "") element.append(text);
  } else if (node.data !== text) {
    node.data = text;
  }
}

/** Sets an attribute, if it is another; null removes it. */
export function setAttribute(element: Element, name: string, value: string | null): void {
  if (element.getAttribute(name) === value) return;
  if (value === null) element.removeAttribute(name);
  else element.setAttribute(name, value);
}

export function setHidden(element: HTMLElement, hidden: boolean): void {
  if (element.hidden !== hidden) element.hidden = hidden;
}

/** Makes a list have so many children, and calls `fill` for each: rows are used again, not made anew. */
export function fillRows<T, R extends { readonly root: Element }>(
  parent: Element,
  rows: R[],
  items: readonly T[],
  create: () => R,
  fill: (row: R, item: T) => void,
): void {
  while (rows.length > items.length) rows.pop()!.root.remove();
  for (const [index, item] of items.entries()) {
    let row = rows[index];
    if (row === undefined) {
      rows.push((row = create()));
      parent.append(row.root);
    }
    fill(row, item);
  }
}
