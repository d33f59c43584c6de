// The official TypeScript client of Comfy API v2, unchanged. COMFY_BASE_URL names the gateway, and COMFY_API_KEY may be
// a key of it.
import assert from "node:assert/strict";
import { Comfy, IdempotencyKeyReuse, InvalidWorkflow, JobFailed, MissingAsset, NotFound } from "@comfyorg/sdk";

const client = new Comfy({ apiKey: process.env.COMFY_API_KEY });
const [graph, photo, sampling] = process.argv.slice(2);
const load = (file) => client.workflows.fromFile(file);

const workflow = await load(graph);
const asset = client.assets.fromFile(photo);
workflow.setInput("1", "image", asset);
const job = await client.run(workflow);
assert.equal(job.status, "succeeded");
const [output] = job.getOutputs("2");
assert.equal(output.type, "image");
assert.equal((await output.toBytes()).length, output.sizeBytes);
assert.equal((await job.getWorkflow()).format, "api");

const live = await client.submit(await load(sampling), { apiKey: "comfyui-key" });
const seen = [];
for await (const event of live.events()) seen.push(event);
assert.deepEqual(
	new Set(seen.map((event) => event.kind)),
	new Set(["statusChange", "progress", "preview", "outputReady"]),
);
assert.equal(seen.at(-1).status, "succeeded");
assert.equal((await live.result()).outputs.length, 1);

const slow = await load(sampling);
slow.setInput("3", "steps", 1000);
const unwanted = await client.submit(slow);
await unwanted.cancel();
assert.equal((await unwanted.wait(30_000)).status, "canceled");
await assert.rejects(unwanted.result(), JobFailed);

const once = { idempotencyKey: "once" };
await client.submit(await load(graph), once);
await assert.rejects(client.submit(await load(graph), once), IdempotencyKeyReuse);
await assert.rejects(client.jobs.get("nobody"), NotFound);
const unknown = await load(graph);
unknown.setInput("2", "images", ["7", 0]);
await assert.rejects(client.submit(unknown), InvalidWorkflow);
const missing = await load(graph);
missing.setInput("1", "image", { __type: "core/ASSET", info: { id: "nobody" } });
await assert.rejects(client.submit(missing), MissingAsset);
console.log("done");
