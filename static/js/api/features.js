// The features of this gateway, by the routes in its OpenAPI document; fetched once, on demand.
import { key } from "./key.js";

/** @type {Promise<any> | null} */
let asked = null;

export async function has(path, parameter) {
	asked ??= paths();
	const route = (await asked)[`/${path}`];
	if (!parameter) return Boolean(route);
	return Boolean(route?.get?.parameters?.some((each) => each.name === parameter));
}

async function paths() {
	try {
		const answer = await fetch("openapi.json", { headers: key.headers });
		return (await answer.json()).paths ?? {};
	} catch {
		asked = null; // retried by the next call
		return {};
	}
}
