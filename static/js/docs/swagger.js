// Starts Swagger UI, which is at /docs. Its validator would ask a server on the internet.
const docs = /** @type {HTMLElement} */ (document.getElementById("docs"));
const { SwaggerUIBundle } = /** @type {any} */ (window);
SwaggerUIBundle({
	domNode: docs,
	url: docs.dataset.openapi,
	validatorUrl: null,
	deepLinking: true,
	showExtensions: true,
});
