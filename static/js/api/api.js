// The gateway's REST API, below the page's <base>; with library.js and servers.js all routes that the page uses.
// Failures are thrown as a Problem.
import { key } from "./key.js";

const TIMEOUT = 60_000;
const HEALTH = "api/health";

export class Problem extends Error {
	constructor(document) {
		super(String(document.detail ?? document.title ?? "unknown error"));
		this.document = document;
	}

	get code() {
		return this.document.code;
	}
}

export const id = encodeURIComponent;
export const json = (value) => JSON.stringify(value);
export const query = (fields) => {
	const pairs = Object.entries(fields).flatMap(([name, value]) => [value].flat().map((each) => [name, each]));
	const set = pairs.filter(([, value]) => value != null && value !== "");
	return set.length ? `?${new URLSearchParams(set)}` : "";
};

// System, servers, nodes, models
/** @type {() => Promise<GatewayHealth>} */
export const health = () => get(HEALTH);
/** @type {() => Promise<ServerList>} */
export const servers = () => get("api/servers");
/** @type {(name: string) => Promise<ServerDetail>} */
export const server = (name) => get(`api/servers/${id(name)}`);
export const nodes = (fields = {}) => get(`api/nodes${query(fields)}`);

// Tasks, batches, the queue, webhook deliveries
/** @type {(limit: number, cursor?: string | null, fields?: Record<string, any>) => Promise<TaskPage>} */
export const tasks = (limit, cursor, fields = {}) => get(`api/tasks${query({ limit, cursor, ...fields })}`);
/** @type {(name: string) => Promise<Task>} */
export const task = (name) => get(`api/task/${id(name)}`);
export const taskWorkflow = (name) => get(`api/task/${id(name)}/workflow`);
export const taskWorkflowText = (name) => exactly(`api/task/${id(name)}/workflow`);
export const cancel = (name) => post(`api/task/${id(name)}/cancel`);
export const retry = (name) => post(`api/task/${id(name)}/retry`);
export const remove = (name) => send("DELETE", `api/task/${id(name)}`);
export const removeAll = (names) => post("api/history/delete", json(names ? { task_ids: names } : { all: true }));
export const cancelBatch = (name) => post(`api/batch/${id(name)}/cancel`);
/** @type {(name: string) => Promise<DeliveryList>} */
export const taskDeliveries = (name) => get(`api/task/${id(name)}/deliveries`);
export const replay = (name) => post(`api/deliveries/${id(name)}/replay`);
export const zipUrl = (name) => `api/task/${id(name)}/outputs.zip`;

// Workflows. A source is {filename} of a saved one, or {text, name} of an unsaved one.
/** @type {() => Promise<WorkflowList>} */
export const workflows = () => get("api/workflows");
/** @type {(name: string) => Promise<Workflow>} */
export const workflow = (name) => get(`api/workflow/${id(name)}`);
export const workflowText = (name) => exactly(`api/workflow/${id(name)}`);
/** @type {(source: Source) => Promise<ParametersOf>} */
export const parameters = (source) => post("api/workflow/parameters", envelope(source));
export const convertText = (source, params) =>
	exactly("api/workflow/convert", sent("POST", envelope(source, { params })));
export const submit = (source, options) => post("api/workflow/submit", envelope(source, options));
export const submitBody = (source, options) => envelope(source, options);

// Files
/** @type {(image: File) => Promise<Upload>} */
export const upload = (image) => form("api/image/upload", { image });
export const uploadMask = (image, original) => form("api/image/upload/mask", { image, original });
export const uploadUrl = (name, fields) => `api/image/${id(name)}${query({ type: "input", ...fields })}`;

// For resources that an element cannot fetch itself, as <img> sends no key.
export async function blob(url, options = {}) {
	const response = await exchange(url, options, (answer) => answer.blob());
	if (response.ok) return response.body;
	throw new Problem({ title: `HTTP ${response.status}`, status: response.status, detail: String(url) });
}

// A file's text is sent verbatim, since JSON.parse would round 64-bit seeds.
/** @param {Source} source @param {Record<string, any>} [options] */
function envelope({ filename, text, name }, options = {}) {
	if (filename) return json({ filename, ...options });
	const { metadata, ...others } = options;
	return `{"workflow": ${text}, ${json({ ...others, metadata: { file: name, ...metadata } }).slice(1)}`;
}

export const get = (path) => request(path, {});
export const post = (path, body, headers) => send("POST", path, body, headers);
export const send = (method, path, body, headers) => request(path, sent(method, body, headers));
const sent = (method, body, headers) => ({
	method,
	body,
	headers: { ...(body && { "Content-Type": "application/json" }), ...headers },
});

export function form(path, fields) {
	const body = new FormData();
	for (const [name, value] of Object.entries(fields)) if (value != null && value !== "") body.append(name, value);
	return request(path, { method: "POST", body });
}

// The workflow of an answer as text, with its numbers as in the file.
async function exactly(path, options = {}) {
	const { ok, body } = await exchange(path, options, (answer) => answer.text());
	if (!ok) return request(path, options); // throws the Problem
	return json(JSON.parse(body, raw).workflow);
}

async function request(path, options) {
	const { status, ok, body } = await exchange(path, options, (answer) => answer.text());
	/** @type {any} */
	let answer = null;
	try {
		if (body) answer = JSON.parse(body, exact);
	} catch {
		throw new Problem({
			title: `The gateway answered HTTP ${status} and no JSON`,
			status,
			detail: body.slice(0, 2000),
		});
	}
	if (ok) return answer;
	throw new Problem(answer?.detail ? answer : { title: `HTTP ${status}`, status, detail: body });
}

// After a refused key, only requests that need no key are sent, without it, until there is another.
async function exchange(path, options, read) {
	for (;;) {
		const used = key.value;
		const answer = (path !== HEALTH && key.refusal) || (await fetched(path, options, read));
		if (answer.status !== 401 || !(await key.renew(used, answer))) return answer;
	}
}

async function fetched(path, options, read) {
	try {
		const headers = { ...options.headers, ...(!key.isWanted && key.headers) };
		const response = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT), ...options, headers });
		return { status: response.status, ok: response.ok, body: await (response.ok ? read(response) : response.text()) };
	} catch (error) {
		throw new Problem({ title: "The gateway does not answer", code: "away", detail: `${path}: ${error.message}` });
	}
}

// Integers beyond JavaScript's exact range are kept as digits, to be displayed as text or written as JSON
// again.
const isRounded = (value, context) =>
	Number.isInteger(value) && !Number.isSafeInteger(value) && /^-?\d+$/.test(context?.source);
export const exact = (_name, value, context) => (isRounded(value, context) ? context.source : value);
const raw = (_name, value, context) =>
	isRounded(value, context) && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
