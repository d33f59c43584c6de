// The faults of values in a problem document: [{key, message}].
export function faultsOf(problem) {
	const named = (problem.errors ?? []).map(({ field, message }) => ({ key: field, message }));
	const ofNodes = Object.entries(problem.node_errors ?? {}).flatMap(([id, node]) =>
		[node?.errors ?? []].flat().map(({ message, details, extra_info }) => ({
			key: `${id}.${extra_info?.input_name ?? ""}`,
			message: message || details,
		})),
	);
	if (problem.parameter) named.push({ key: problem.parameter, message: problem.detail });
	return named.length ? named : ofNodes;
}
