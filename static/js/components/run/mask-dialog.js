// A mask drawn with a brush over an image. Painted areas become transparent in the result, as ComfyUI
// expects. The left button paints, the right one or "erase" removes; [ and ] change the brush size.
import { openDialog } from "../../page/dialog.js";
import { el } from "../../page/dom.js";
import { t, texts } from "../../page/i18n.js";

await texts("dialogs");

const LARGEST = 4096;

// Resolves to a PNG, or null if nothing was painted or the dialog was left. `file` is a Blob.
export async function editMask(file) {
	const picture = await createImageBitmap(file);
	if (Math.max(picture.width, picture.height) > LARGEST) throw new Error(t("mask.tooLarge"));
	const size = { width: picture.width, height: picture.height };
	const below = el("canvas", { ...size, attributes: { "aria-hidden": "true" } });
	below.getContext("2d").drawImage(picture, 0, 0);
	const mask = new Brush(size);
	const width = el("input", {
		type: "range",
		min: 2,
		max: 200,
		id: "brush-width",
		oninput: () => (mask.part = width.value / 400),
	});
	width.value = 30;
	mask.part = 30 / 400;
	const erase = el("input", { type: "checkbox", id: "brush-erase", onchange: () => (mask.isErasing = erase.checked) });
	const dialog = openDialog(
		{ i18n: "mask.title" },
		[
			el(
				"div",
				{ className: "row wrap" },
				el("label", { htmlFor: width.id, i18n: "mask.width" }),
				width,
				erase,
				el("label", { htmlFor: erase.id, i18n: "mask.erase" }),
				el("span", { className: "grow" }),
				el("button", { i18n: "mask.invert", onclick: () => mask.invert() }),
				el("button", { i18n: "mask.clear", onclick: () => mask.clear() }),
			),
			el("div", { className: "easel" }, below, mask.canvas),
		],
		{
			className: "mask-dialog",
			buttons: [{ i18n: "cancel" }, { i18n: "mask.use", className: "primary", value: "use" }],
		},
	);
	dialog.addEventListener("keydown", ({ key }) => {
		const by = { "[": -6, "]": 6 }[key];
		if (!by) return;
		width.value = Number(width.value) + by;
		mask.part = width.value / 400;
	});
	return (await dialog.closed) === "use" && mask.isUsed ? mask.png() : null;
}

class Brush {
	canvas;
	part = 0.1; // fraction of the image's larger side
	isErasing = false;
	isUsed = false;
	#context;
	/** @type {number[] | null} */
	#last = null;

	constructor(size) {
		this.canvas = el("canvas", { ...size, tabIndex: 0, className: "paint", i18nAttr: "aria-label:mask.title" });
		this.#context = this.canvas.getContext("2d");
		this.#context.lineCap = this.#context.lineJoin = "round";
		this.canvas.onpointerdown = (event) => {
			this.canvas.setPointerCapture(event.pointerId);
			this.#last = null;
			this.#stroke(event);
		};
		this.canvas.onpointermove = (event) => void (event.buttons && this.#stroke(event));
		this.canvas.oncontextmenu = (event) => event.preventDefault();
	}

	clear() {
		this.#context.clearRect(0, 0, this.canvas.width, this.canvas.height);
		this.isUsed = false;
	}

	invert() {
		this.#dip();
		this.#context.globalCompositeOperation = "xor";
		this.#context.fillRect(0, 0, this.canvas.width, this.canvas.height);
		this.isUsed = true;
	}

	async png() {
		const { width, height } = this.canvas;
		const made = new OffscreenCanvas(width, height);
		const context = /** @type {OffscreenCanvasRenderingContext2D} */ (made.getContext("2d"));
		context.fillRect(0, 0, width, height);
		context.globalCompositeOperation = "destination-out";
		context.drawImage(this.canvas, 0, 0);
		return new File([await made.convertToBlob({ type: "image/png" })], "mask.png", { type: "image/png" });
	}

	// The color is known once the canvas is in the page.
	#dip() {
		this.#context.fillStyle = this.#context.strokeStyle = getComputedStyle(this.canvas).color;
	}

	#stroke({ offsetX, offsetY, buttons }) {
		const scale = this.canvas.width / this.canvas.clientWidth;
		const to = [offsetX * scale, offsetY * scale];
		const from = this.#last ?? to;
		const context = this.#context;
		this.#dip();
		context.globalCompositeOperation = this.isErasing || buttons === 2 ? "destination-out" : "source-over";
		context.lineWidth = Math.max(1, this.part * Math.max(this.canvas.width, this.canvas.height));
		context.beginPath();
		context.moveTo(...from);
		context.lineTo(...to);
		context.stroke();
		this.#last = to;
		this.isUsed = true;
	}
}
