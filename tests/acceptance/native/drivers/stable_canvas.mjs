// @stable-canvas/comfyui-client: what ComfyUI's page asks; once by socket, once by polling.
import { load, main } from "./job.mjs";

const { Client } = load("@stable-canvas/comfyui-client");
const { WebSocket } = load("ws");

await main(async (job) => {
	const { host, pathname } = new URL(job.url);
	const base = pathname === "/" ? "" : pathname;
	const headers = job.key ? { Authorization: `Bearer ${job.key}` } : {};
	const client = new Client({
		api_host: host,
		api_base: base,
		WebSocket: class extends WebSocket {
			constructor(url) {
				super(url, { headers });
			}
		},
		fetch: (url, options) => fetch(url, { ...options, headers: { ...options?.headers, ...headers } }),
	});
	await client.getSystemStats();
	const polls = job.second || base; // its socket leaves the path out
	if (!polls) await client.connect();
	try {
		const enqueue = polls ? client.enqueue_polling : client.enqueue;
		const { images } = await enqueue.call(client, job.graph, { polling_ms: 100 });
		const [{ type, data }] = images;
		if (type === "buff") return data;
		return (await fetch(data, { headers })).arrayBuffer();
	} finally {
		client.close();
	}
});
