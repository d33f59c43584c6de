// What the drivers in JavaScript share; job.py says what jobs are.
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.NATIVE_CLIENTS}/node_modules/`);

/** A client's package, out of the clients' own folder. */
export const load = (name) => require(name);

export async function main(run) {
	const jobs = JSON.parse(readFileSync(0, "utf8"));
	const told = await Promise.all(
		jobs.map(async (job) => {
			try {
				writeFileSync(`${job.name}.png`, Buffer.from(await run(job)));
				return [job.name, null];
			} catch (error) {
				return [job.name, String(error?.stack ?? error).slice(-2000)];
			}
		}),
	);
	process.stdout.write(`\n${JSON.stringify(Object.fromEntries(told))}\n`, () => process.exit(0));
}
