import { DEFAULT_QUERY, type Query, type Sort, SORTS } from "./query.js";

/** What the page's address keeps, behind the `#`: never sent to a server, and never a token. */
export interface Place {
  readonly query: Query;
  readonly task: string | null;
}

export function readPlace(hash: string): Place {
  const read = new URLSearchParams(hash.replace(/^#/, ""));
  const sort = read.get("sort") as Sort;
  return {
    query: {
      state: read.get("state") ?? DEFAULT_QUERY.state,
      kind: read.get("kind") ?? "",
      label: read.get("label") ?? "",
      search: read.get("q") ?? "",
      sort: SORTS.includes(sort) ? sort : DEFAULT_QUERY.sort,
    },
    task: read.get("task"),
  };
}

/** The hash of the place; what is as by default is left out. */
export function writePlace({ query, task }: Place): string {
  const written = new URLSearchParams();
  const put = (name: string, value: string, usual: string) => {
    if (value !== usual) written.set(name, value);
  };
  put("state", query.state, DEFAULT_QUERY.state);
  put("kind", query.kind, "");
  put("label", query.label, "");
  put("q", query.search, "");
  put("sort", query.sort, DEFAULT_QUERY.sort);
  put("task", task ?? "", "");
  return `#${written}`;
}
