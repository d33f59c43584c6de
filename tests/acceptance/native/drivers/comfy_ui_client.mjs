// comfy-ui-client: ComfyUI's own example of a script, in JavaScript. It knows no key.
import { load, main } from "./job.mjs";

const { ComfyUIClient } = load("comfy-ui-client");

await main(async (job) => {
	const client = new ComfyUIClient(job.host, crypto.randomUUID());
	await client.connect();
	try {
		const images = await client.getImages(job.graph);
		return await images["3"][0].blob.arrayBuffer();
	} finally {
		await client.disconnect();
	}
});
