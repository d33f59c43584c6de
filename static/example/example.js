// A page that creates an image through the gateway: submit, follow, show. No build step, no library. It
// works on the gateway itself (static/example/index.html), and on other origins that the gateway allows
// with COMFYUI_CORS_ORIGINS.

const WORKFLOW = "sd15_text_to_image.json";
const FINISHED = ["succeeded", "failed", "canceled", "expired"];

const form = document.querySelector("form");
const cancel = form.elements.cancel;
const status = document.querySelector("[role=status]");
const bar = document.querySelector("progress");
const figure = document.querySelector("figure");

form.elements.gateway.value = location.protocol.startsWith("http")
	? new URL("../..", import.meta.url)
	: "http://localhost:8000";

form.addEventListener("submit", async (event) => {
	event.preventDefault();
	const run = form.querySelector("button");
	run.disabled = true;
	figure.replaceChildren();
	try {
		await makePicture();
	} catch (error) {
		status.textContent = error.message;
	} finally {
		run.disabled = false;
		cancel.disabled = true;
	}
});

async function makePicture() {
	const { prompt, negative_prompt, seed, steps } = Object.fromEntries(new FormData(form));
	const params = { prompt, negative_prompt, seed: Number(seed), steps: Number(steps) };
	const submitted = await call(`api/workflow/${WORKFLOW}/run`, { method: "POST", json: { params } });
	const { task_id } = await submitted.json();
	cancel.disabled = false;
	cancel.onclick = () => call(`api/task/${task_id}/cancel`, { method: "POST" });

	const task = await follow(task_id);
	if (task.status !== "succeeded") {
		throw new Error(task.error ? `${task.status}: ${task.error.message}` : task.status);
	}
	status.textContent = `Done. Seed ${task.params.seed ?? seed}`;
	figure.replaceChildren();
	for (const output of task.outputs) {
		if (output.kind === "image") show(await (await call(output.url)).blob(), output.filename);
	}
}

/** Returns the task when it is finished; reconnects if the stream is interrupted. */
async function follow(taskId) {
	for (;;) {
		try {
			for await (const { event, data } of events(`api/task/${taskId}/events`)) {
				if (data.progress) bar.value = data.progress.value;
				if (event === "status") {
					status.textContent = data.queue_position ? `Place ${data.queue_position} in the queue` : data.status;
					if (FINISHED.includes(data.status)) return data;
				} else if (event === "progress") {
					status.textContent = data.progress.class_type ?? data.status;
				} else if (event === "preview") {
					// Not fetched as a data: URL, which the gateway's Content-Security-Policy refuses.
					const bytes = Uint8Array.from(atob(data.data_base64), (char) => char.charCodeAt(0));
					show(new Blob([bytes], { type: data.content_type }), "preview");
				}
			}
		} catch (error) {
			// A TypeError is a network error; a 503 means no live updates at present; other errors are refusals.
			if (!(error instanceof TypeError) && error.status !== 503) throw error;
			status.textContent = "Live updates are delayed …";
		}
		await new Promise((resolve) => setTimeout(resolve, 1000));
	}
}

/** Yields server-sent events with fetch, since EventSource cannot send an API key. */
async function* events(path) {
	const answer = await call(path);
	const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
	let text = "";
	for (;;) {
		const { done, value } = await reader.read();
		if (done) return;
		const parts = (text + value).split("\n\n");
		text = parts.pop();
		for (const part of parts) {
			const fields = Object.fromEntries(
				part.split("\n").map((line) => [line.split(": ", 1)[0], line.slice(line.indexOf(": ") + 2)]),
			);
			if (fields.data) yield { event: fields.event, data: JSON.parse(fields.data) };
		}
	}
}

function show(blob, alt) {
	const image = figure.querySelector("img") ?? figure.appendChild(new Image());
	URL.revokeObjectURL(image.src);
	image.alt = alt;
	image.src = URL.createObjectURL(blob);
}

/** Sends a request to the gateway. Its errors say what is wrong, and often what to do. */
async function call(path, { json, ...options } = {}) {
	const headers = {};
	if (form.elements.key.value) headers.Authorization = `Bearer ${form.elements.key.value}`;
	if (json) {
		headers["Content-Type"] = "application/json";
		options.body = JSON.stringify(json);
	}
	// Paths of ours are relative, as the gateway may be below a path; the URLs that it answers with have it.
	const address = new URL(path, form.elements.gateway.value.replace(/\/*$/, "/"));
	const response = await fetch(address, { headers, ...options });
	if (!response.ok) {
		const problem = await response.json();
		const text = [problem.detail, problem.hint].filter(Boolean).join(" ");
		throw Object.assign(new Error(text), { status: response.status });
	}
	return response;
}
