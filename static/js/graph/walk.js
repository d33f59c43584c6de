// The node in the direction of an arrow key: the nearest one, with sideways distance counting more.
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export function neighbour(nodes, from, key) {
	const [wx, wy] = WAYS[key] ?? [0, 0];
	if (!wx && !wy) return null;
	const [x, y] = middle(from);
	let best = null;
	let nearest = Infinity;
	for (const node of nodes) {
		const [dx, dy] = [middle(node)[0] - x, middle(node)[1] - y];
		const along = dx * wx + dy * wy;
		if (node === from || along <= 1) continue;
		const distance = along + 2.5 * Math.abs(dx * wy + dy * wx);
		if (distance < nearest) [best, nearest] = [node, distance];
	}
	return best;
}

const middle = ({ x, y, w, h, collapsed }) => [x + w / 2, collapsed ? y : y + h / 2];
