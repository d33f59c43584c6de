// Pan and zoom of an SVG: drag, wheel, pinch. At most one change of the transform per frame. The whole
// <svg> is transformed: a transform inside it would lay out everything again.
const [CLOSEST, FARTHEST] = [3, 0.02];
const CLICK = 4; // pixels of movement that still count as a click
const READABLE = 0.42; // scale below which small text is unreadable
const MARGIN = 40;

export class Viewport {
	#surface;
	#target;
	#pointers = new Map();
	#view = { x: 0, y: 0, k: 1 };
	#bounds = { x: 0, y: 0, w: 1, h: 1 };
	#frame = 0;
	#told;
	#unit = 0;
	#moved = 0;
	isFitted = true; // not moved by the user

	// `moved`: called with the visible area in the graph's coordinates.
	constructor(surface, target, moved) {
		this.#surface = surface;
		this.#target = target;
		this.#told = moved;
		surface.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
		surface.addEventListener("pointerdown", (event) => this.#down(event));
		surface.addEventListener("pointermove", (event) => this.#move(event));
		for (const type of ["pointerup", "pointercancel"])
			surface.addEventListener(type, (event) => this.#pointers.delete(event.pointerId));
		// The end of a drag is no click.
		surface.addEventListener("click", (event) => this.#moved > CLICK && event.stopImmediatePropagation(), {
			capture: true,
		});
		new ResizeObserver(() => this.isFitted && this.fit()).observe(surface);
	}

	get scale() {
		return this.#view.k;
	}

	fit(bounds = this.#bounds) {
		this.#bounds = bounds;
		const { clientWidth: width, clientHeight: height } = this.#surface;
		if (!width || !height) return;
		const margin = Math.min(MARGIN, width / 12);
		const k = Math.min((width - 2 * margin) / bounds.w, (height - 2 * margin) / bounds.h, 1);
		const scale = Math.max(k, FARTHEST);
		this.#set({
			k: scale,
			x: (width - bounds.w * scale) / 2 - bounds.x * scale,
			y: (height - bounds.h * scale) / 2 - bounds.y * scale,
		});
		this.isFitted = true;
	}

	zoom(factor, [x, y] = [this.#surface.clientWidth / 2, this.#surface.clientHeight / 2]) {
		const { k } = this.#view;
		const next = Math.min(Math.max(k * factor, FARTHEST), CLOSEST);
		this.#set({ k: next, x: x - ((x - this.#view.x) * next) / k, y: y - ((y - this.#view.y) * next) / k });
	}

	pan(x, y) {
		this.#set({ ...this.#view, x: this.#view.x + x, y: this.#view.y + y });
	}

	// Moves the box into sight, by the shortest distance.
	reveal({ x, y, w, h }) {
		const { k } = this.#view;
		const [left, top] = [x * k + this.#view.x, y * k + this.#view.y];
		const by = (start, size, room) =>
			start < 20 ? 20 - start : start + size > room - 20 ? Math.max(room - 20 - start - size, 20 - start) : 0;
		const [dx, dy] = [by(left, w * k, this.#surface.clientWidth), by(top, h * k, this.#surface.clientHeight)];
		if (dx || dy) this.pan(dx, dy);
	}

	// About one screen pixel, for lines that stay visible when zoomed out. In steps, as each change is
	// expensive.
	#measure(unit) {
		if (unit === this.#unit) return;
		this.#unit = unit;
		this.#surface.style.setProperty("--unit", `${unit.toFixed(2)}px`);
	}

	#wheel(event) {
		event.preventDefault();
		const pixels = event.deltaY * (event.deltaMode === 1 ? 24 : event.deltaMode === 2 ? 400 : 1);
		const speed = event.ctrlKey ? 0.01 : 0.0014; // with ctrl it is a pinch on a touchpad
		this.zoom(Math.exp(-Math.min(Math.max(pixels, -300), 300) * speed), this.#point(event));
	}

	#down(event) {
		if (event.button > 1) return;
		if (!this.#pointers.size) this.#moved = 0;
		this.#pointers.set(event.pointerId, this.#point(event));
	}

	#move(event) {
		const before = this.#pointers.get(event.pointerId);
		if (!before) return;
		if (event.buttons === 0) return void this.#pointers.delete(event.pointerId);
		const now = this.#point(event);
		const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
		this.#pointers.set(event.pointerId, now);
		const [dx, dy] = [now[0] - before[0], now[1] - before[1]];
		this.#moved += Math.hypot(dx, dy);
		// Captured only now, as otherwise a click would not reach the node.
		if (this.#moved > CLICK && !this.#surface.hasPointerCapture(event.pointerId))
			this.#surface.setPointerCapture(event.pointerId);
		if (!other) return this.pan(dx, dy);
		/** @type {[number, number]} */
		const middle = [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2];
		this.pan(dx / 2, dy / 2);
		this.zoom(
			Math.hypot(now[0] - other[0], now[1] - other[1]) / (Math.hypot(before[0] - other[0], before[1] - other[1]) || 1),
			middle,
		);
	}

	/** @returns {[number, number]} */
	#point({ clientX, clientY }) {
		const { left, top } = this.#surface.getBoundingClientRect();
		return [clientX - left, clientY - top];
	}

	#set(view) {
		this.#view = view;
		this.isFitted = false;
		this.#frame ||= requestAnimationFrame(() => {
			this.#frame = 0;
			const { x, y, k } = this.#view;
			this.#target.style.transform = `translate(${x}px, ${y}px) scale(${k})`;
			this.#surface.classList.toggle("far", k < READABLE);
			this.#measure(Math.max(1, 2 ** (Math.round(-Math.log2(k) * 2) / 2)));
			this.#told({ x: -x / k, y: -y / k, w: this.#surface.clientWidth / k, h: this.#surface.clientHeight / k });
		});
	}
}
