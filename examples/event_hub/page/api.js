// The hub's routes, asked with the token that stands behind the # of the address once.

const KEPT = 'event-hub.token';

/** The token, taken out of the address so that it is not bookmarked or shown. */
function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const token = fragment.get('token');
  if (token) {
    sessionStorage.setItem(KEPT, token);
    history.replaceState(null, '', location.pathname);
  }
  return sessionStorage.getItem(KEPT);
}

export const token = takeToken();

/** What the server refused, with its error object. */
export class Refused extends Error {
  constructor(status, error) {
    super(error?.message ?? `the server answered ${status}`);
    this.status = status;
    this.code = error?.code ?? '';
    this.solutions = error?.solutions ?? [];
  }
}

async function ask(method, path, body) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  if (body !== undefined && !(body instanceof FormData)) {
    headers['content-type'] = 'application/json';
    body = JSON.stringify(body);
  }
  const answer = await fetch(path, { method, headers, body });
  if (!answer.ok) {
    const said = await answer.json().catch(() => null);
    throw new Refused(answer.status, said?.error);
  }
  return answer;
}

export async function read(path) {
  return (await ask('GET', path)).json();
}

export async function post(path, body) {
  const answer = await ask('POST', path, body);
  return answer.status === 204 ? null : answer.json();
}

export async function patch(path, body) {
  return (await ask('PATCH', path, body)).json();
}

export async function remove(path) {
  await ask('DELETE', path);
}

/** A URL of what is only given to those who have a token. */
export async function blobUrl(path) {
  return URL.createObjectURL(await (await ask('GET', path)).blob());
}
