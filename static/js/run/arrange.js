// The order, widths and labels of parameters. Pure.
const FIRST = {
	prompt: "full",
	negative_prompt: "full",
	image: "full",
	mask: "full",
	video: "full",
	audio: "full",
	width: "size",
	height: "size",
	seed: "full",
	steps: "half",
	cfg: "half",
	guidance: "half",
	denoise: "half",
	sampler: "half",
	scheduler: "half",
	length: "half",
	batch_size: "half",
	model: "full",
	lora: "full",
	lora_strength: "half",
};
const ORDER = Object.keys(FIRST);

export const titleOf = ({ title, class_type, node_id }) => title || class_type || node_id;

// {first: [{parameter, width, label} or {width, height}], nodes: [[id, title, [{parameter, label}]]]}
export function arrange(parameters) {
	const first = parameters.filter(isFirst).sort((a, b) => rank(a) - rank(b));
	const rest = parameters.filter((parameter) => !first.includes(parameter));
	/** @type {[string, any][]} */
	const groups = Object.entries(Object.groupBy(rest, ({ node_id }) => node_id));
	return {
		first: paired(first).map((item) =>
			item.pair ? item : { parameter: item, width: FIRST[item.role] ?? "full", label: label(item, first) },
		),
		nodes: groups.map(([id, each]) => [
			id,
			titleOf(each[0]),
			each.map((parameter) => ({ parameter, label: { text: parameter.input } })),
		]),
	};
}

// A node with a name mark (`$name`, `input;Name`) comes first, whatever its role.
const isFirst = (parameter) => parameter.role in FIRST || parameter.multiline || parameter.upload;
const rank = (parameter) =>
	(ORDER.indexOf(parameter.role) + 1 || ORDER.length + 1) - (parameter.multiline && !parameter.role ? ORDER.length : 0);

// Width and height of one node are one field; alone they are ordinary numbers.
function paired(first) {
	const made = [];
	const taken = new Set();
	for (const parameter of first) {
		if (taken.has(parameter)) continue;
		const wanted = { width: "height", height: "width" }[parameter.role];
		const other =
			wanted && first.find((each) => each.role === wanted && each.node_id === parameter.node_id && !taken.has(each));
		if (!other) {
			made.push(parameter);
			continue;
		}
		taken.add(other).add(parameter);
		const [width, height] = parameter.role === "width" ? [parameter, other] : [other, parameter];
		made.push({ pair: true, width, height, labels: { width: label(width, first), height: label(height, first) } });
	}
	return made;
}

// Distinguishes fields of one role, and uses a node's title if it says more than the role.
const TITLED = /^(prompt|negative_prompt|image|mask|video|audio)$/;
const PLAIN = /^(clip text encode.*|load (image|video|audio|mask).*|(positive|negative)?[ _-]*prompt)$/i;

function label(parameter, all) {
	const { role, title, class_type } = parameter;
	if (!role) return { text: parameter.name ?? parameter.input, note: titleOf(parameter) };
	const isShared = all.some((other) => other !== parameter && other.role === role);
	const isTold = TITLED.test(role) && title && title !== class_type && !PLAIN.test(title);
	return { i18n: `role.${role}`, note: isTold ? title : isShared ? `${titleOf(parameter)} #${parameter.node_id}` : "" };
}
