// @saintno/comfyui-sdk: it follows its prompt by socket and /queue; it knows Basic and Bearer.
import { load, main } from "./job.mjs";

const { CallWrapper, ComfyApi, PromptBuilder } = load("@saintno/comfyui-sdk");

function credentials({ key, second }) {
	if (!key) return undefined;
	return second ? { type: "basic", username: "any", password: key } : { type: "bearer_token", token: key };
}

await main(async (job) => {
	const api = new ComfyApi(job.url, undefined, { credentials: credentials(job) });
	await api.init().waitForReady();
	const prompt = new PromptBuilder(job.graph, [], ["picture"]).setOutputNode("picture", "3");
	const { picture } = await new Promise((resolve, reject) => {
		new CallWrapper(api, prompt).onFinished(resolve).onFailed(reject).run();
	});
	const blob = await api.getImage(picture.images[0]);
	return blob.arrayBuffer();
});
