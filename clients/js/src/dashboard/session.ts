/** The token of this page: in memory, and if wished in `sessionStorage`; never in an address or a cookie. */
export class Session {
  #token: string | null = null;

  constructor() {
    try {
      this.#token = sessionStorage.getItem(KEY);
    } catch {
      // A page that may store nothing keeps it in memory.
    }
  }

  get token(): string | null {
    return this.#token;
  }

  set(token: string | null, remember: boolean): void {
    this.#token = token;
    try {
      if (token !== null && remember) sessionStorage.setItem(KEY, token);
      else sessionStorage.removeItem(KEY);
    } catch {
      // As above.
    }
  }
}

const KEY = "progress-token";
