// The gateway's REST API. Every failure is thrown as a Problem.
const TIMEOUT = 60_000;

export class Problem extends Error {
  constructor(document) {
    super(String(document.detail ?? document.title ?? "unknown error"));
    this.document = document;
  }
}

export const health = () => get("/api/health");
export const workflows = () => get("/api/workflows");
export const tasks = (limit, cursor) =>
  get(`/api/tasks?${new URLSearchParams({ limit, ...(cursor && { cursor }) })}`);
export const parameters = (source) => post("/api/workflow/parameters", envelope(source));
export const submit = (source, params) => post("/api/workflow/submit", envelope(source, params));
export const cancel = (id) => post(`/api/task/${encodeURIComponent(id)}/cancel`);
export const retry = (id) => post(`/api/task/${encodeURIComponent(id)}/retry`);
export const remove = (id) => request(`/api/task/${encodeURIComponent(id)}`, { method: "DELETE" });

export function upload(file) {
  const body = new FormData();
  body.append("image", file);
  return request("/api/image/upload", { method: "POST", body });
}

// A file's text goes out as it is: JSON.parse would round 64-bit seeds.
function envelope({ filename, text, name }, params = {}) {
  if (filename) return JSON.stringify({ filename, params });
  const rest = JSON.stringify({ params, metadata: { file: name } });
  return `{"workflow": ${text}, ${rest.slice(1)}`;
}

const get = (path) => request(path, {});
const post = (path, body) =>
  request(path, { method: "POST", body, headers: { "Content-Type": "application/json" } });

async function request(path, options) {
  const { status, ok, text } = await exchange(path, options);
  let answer = null;
  try {
    if (text) answer = JSON.parse(text, exact);
  } catch {
    throw new Problem({ title: `The gateway answered HTTP ${status} and no JSON`, status, detail: text.slice(0, 2000) });
  }
  if (ok) return answer;
  throw new Problem(answer?.detail ? answer : { title: `HTTP ${status}`, status, detail: text });
}

async function exchange(path, options) {
  try {
    const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT), ...options });
    return { status: response.status, ok: response.ok, text: await response.text() };
  } catch (error) {
    throw new Problem({ title: "The gateway does not answer", detail: `${path}: ${error.message}` });
  }
}

// Whole numbers that a JavaScript number cannot hold are kept as their digits.
function exact(key, value, context) {
  const isRounded = Number.isInteger(value) && !Number.isSafeInteger(value);
  return isRounded && /^-?\d+$/.test(context?.source) ? context.source : value;
}
