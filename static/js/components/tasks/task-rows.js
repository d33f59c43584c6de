// Rows of equal height, of which only the visible ones exist, however many there are.
const SPARE = 8; // additional rows above and below, for scrolling

export class TaskRows {
	#scroller;
	#space;
	#make;
	#ids = [];
	#shown = new Map(); // id -> row
	#height = 40;

	// `make(id)` returns a row: {element, update(), tick()}.
	constructor(scroller, space, make) {
		this.#scroller = scroller;
		this.#space = space;
		this.#make = make;
		scroller.addEventListener("scroll", () => this.#render(), { passive: true });
		new ResizeObserver(() => this.#measure()).observe(scroller);
	}

	// All ids in order. Rows that stay keep their element, and with it the focus.
	set ids(ids) {
		this.#ids = ids;
		this.#space.style.height = `${ids.length * this.#height}px`;
		this.#render();
	}

	update(ids) {
		for (const id of ids) this.#shown.get(id)?.update();
	}

	updateAll() {
		for (const row of this.#shown.values()) row.update();
	}

	tick() {
		for (const row of this.#shown.values()) row.tick();
	}

	reveal(at) {
		const top = at * this.#height;
		const { scrollTop, clientHeight } = this.#scroller;
		if (top < scrollTop) this.#scroller.scrollTop = top;
		else if (top + this.#height > scrollTop + clientHeight)
			this.#scroller.scrollTop = top + this.#height - clientHeight;
		this.#render();
		return this.#shown.get(this.#ids[at]);
	}

	#measure() {
		const height = parseFloat(getComputedStyle(this.#space).getPropertyValue("--row")) || 40;
		if (height !== this.#height) {
			this.#height = height;
			this.ids = this.#ids;
		}
		this.#render();
	}

	#render() {
		const first = Math.max(0, Math.floor(this.#scroller.scrollTop / this.#height) - SPARE);
		const last = Math.min(
			this.#ids.length,
			Math.ceil((this.#scroller.scrollTop + this.#scroller.clientHeight) / this.#height) + SPARE,
		);
		const wanted = new Set(this.#ids.slice(first, last));
		for (const [id, row] of this.#shown) {
			if (wanted.has(id)) continue;
			row.element.remove();
			this.#shown.delete(id);
		}
		let next = this.#space.firstElementChild;
		for (let at = first; at < last; at++) next = this.#place(this.#ids[at], at, next);
	}

	// In visual order, for the keyboard and screen readers. Returns the row after it.
	#place(id, at, next) {
		let row = this.#shown.get(id);
		if (!row) {
			row = this.#make(id);
			this.#shown.set(id, row);
		}
		row.element.style.transform = `translateY(${at * this.#height}px)`;
		row.element.setAttribute("aria-rowindex", at + 2);
		if (row.element === next) return next.nextElementSibling;
		/** @type {any} */
		const focused = row.element.contains(document.activeElement) ? document.activeElement : null;
		this.#space.insertBefore(row.element, next);
		focused?.focus({ preventScroll: true });
		return next;
	}
}
