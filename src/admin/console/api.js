// Calls of the node's admin API, by relative addresses: the console works behind any path prefix.

const TOKEN = "nearside-token";
const TIMEOUT_MS = 8000;

/** An answer that is an error, or none at all (status 0). */
export class ApiError extends Error {
  constructor(status, message, code) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// The token lives in this tab alone, and ends with it.
export const token = {
  get: () => sessionStorage.getItem(TOKEN) ?? "",
  set: (value) => (value ? sessionStorage.setItem(TOKEN, value) : sessionStorage.removeItem(TOKEN)),
};

async function send(path, { method = "GET", body, headers = {}, timeout = TIMEOUT_MS, bearer = token.get() } = {}) {
  const request = {
    method,
    headers: { ...headers },
    cache: "no-store",
    credentials: "same-origin",
    signal: AbortSignal.timeout(timeout),
  };
  if (bearer) request.headers.Authorization = `Bearer ${bearer}`;
  if (body !== undefined) request.body = body;
  try {
    return await fetch(path, request);
  } catch (error) {
    throw new ApiError(
      0,
      error.name === "TimeoutError" ? `The node did not answer within ${timeout / 1000} seconds.` : "The node does not answer.",
    );
  }
}

function sentence(status, text) {
  try {
    const value = JSON.parse(text);
    return value.error ?? value.message ?? text;
  } catch {
    return text.length > 0 && text.length < 400 && !text.startsWith("<") ? text.trim() : `The node answered with status ${status}.`;
  }
}

/** Gets or posts JSON. */
export async function api(path, body, settings = {}) {
  const posted =
    body === undefined ? {} : { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
  const answer = await send(`api/${path}`, { ...posted, ...settings });
  const text = await answer.text();
  if (!answer.ok) throw new ApiError(answer.status, sentence(answer.status, text));
  try {
    return JSON.parse(text);
  } catch {
    throw new ApiError(502, "Something between this page and the node answered with a page that is no JSON.");
  }
}

// With share = false, tables belong to a region and an access key.
const REALM = "nearside-realm";

export const realm = {
  get: () => JSON.parse(sessionStorage.getItem(REALM) ?? "null"),
  set: (region, accessKey) => sessionStorage.setItem(REALM, JSON.stringify({ region, access_key: accessKey })),
};

/** One call of DynamoDB through the node. Gives what it answered, and how the cache served it. */
export async function dynamo(operation, input) {
  const headers = { "Content-Type": "application/x-amz-json-1.0", "X-Amz-Target": `DynamoDB_20120810.${operation}` };
  const query = realm.get() ? `?${new URLSearchParams(realm.get())}` : "";
  const answer = await send(`api/call${query}`, { method: "POST", body: JSON.stringify(input), headers, timeout: 30000 });
  const text = await answer.text();
  if (answer.ok) return { output: JSON.parse(text), source: answer.headers.get("x-nearside-cache") };
  let value = {};
  try {
    value = JSON.parse(text);
  } catch {
    /* It is the listener's own error, or a proxy's. */
  }
  const code = typeof value.__type === "string" ? value.__type.split("#").pop() : undefined;
  throw new ApiError(answer.status, value.message ?? value.Message ?? sentence(answer.status, text), code);
}

/** Whether the node takes this token: "right", "wrong", or "none" where it has none itself. */
export async function tryToken(value) {
  try {
    const stats = await api("stats", undefined, { bearer: value });
    return stats.node?.has_token === false ? "none" : "right";
  } catch (error) {
    if (error.status === 401) return "wrong";
    throw error;
  }
}
