// comfyui-mcp: an agent's tools. All of its prompts and sockets have one client id.
import { mkdirSync, readFileSync } from "node:fs";
import { load, main } from "./job.mjs";

const { Client } = load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = load("@modelcontextprotocol/sdk/client/stdio.js");

const textOf = ({ content }) => content.map((one) => one.text ?? "").join("\n");

await main(async (job) => {
	const home = `${process.cwd()}/${job.name}-home`;
	mkdirSync(home, { recursive: true });
	const transport = new StdioClientTransport({
		command: process.execPath,
		args: [`${process.env.NATIVE_CLIENTS}/node_modules/comfyui-mcp/dist/index.js`],
		env: {
			PATH: process.env.PATH,
			HOME: home,
			TMPDIR: home,
			COMFYUI_URL: job.url,
			COMFYUI_MCP_FORCE_REMOTE: "1",
			COMFYUI_MCP_NO_SHARP: "1",
			...(job.key ? { COMFYUI_AUTH_TOKEN: job.key } : {}),
		},
		stderr: "ignore",
	});
	const client = new Client({ name: "driver", version: "1" });
	await client.connect(transport);
	const call = async (name, args) => {
		const answer = await client.callTool({ name, arguments: args });
		if (answer.isError) throw new Error(`${name}: ${textOf(answer)}`);
		return textOf(answer);
	};
	try {
		await call("get_system_stats", { action: "stats" });
		const told = await call("enqueue_workflow", { action: "enqueue", workflow: job.graph });
		const { prompt_id } = JSON.parse(told);
		for (;;) {
			const queue = JSON.parse(await call("queue", { action: "status", prompt_id }));
			if (queue.done) break;
			await new Promise((resolve) => setTimeout(resolve, 100));
		}
		const history = await call("get_history", { action: "list", prompt_id });
		const [, filename] = /\*\*(\S+) \(type=output\)\*\*/.exec(history);
		await call("get_image", { action: "get", filename });
		return readFileSync(`${home}/comfyui-images/${filename.split("/").at(-1)}`);
	} finally {
		await client.close();
	}
});
