// Starts Redoc, which is at /redoc.
const docs = /** @type {HTMLElement} */ (document.getElementById("docs"));
/** @type {any} */ (window).Redoc.init(docs.dataset.openapi, {}, docs);
