// The official TypeScript client of Comfy API v2, unchanged. COMFY_BASE_URL names the gateway.
import assert from "node:assert/strict";
import { Comfy } from "@comfyorg/sdk";

const client = new Comfy();
const [graph, photo] = process.argv.slice(2);

const workflow = await client.workflows.fromFile(graph);
const asset = client.assets.fromFile(photo);
workflow.setInput("1", "image", asset);
const job = await client.run(workflow);
assert.equal(job.status, "succeeded");
const [output] = job.getOutputs("2");
assert.equal(output.type, "image");
assert.equal((await output.toBytes()).length, output.sizeBytes);
assert.equal((await job.getWorkflow()).format, "api");

const live = await client.submit(await client.workflows.fromFile(graph));
const seen = [];
for await (const event of live.events()) seen.push(event);
assert.ok(seen.length > 0);
await live.result();

await assert.rejects(client.jobs.get("nobody"), (error) => error.code === "not_found");
console.log("done");
