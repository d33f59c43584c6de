// What the view "run" is made of.
import "../components/parameter-field.js";
import "../components/workflow-library.js";
import "../components/run-form.js";
import "../components/run-bar.js";
import "../components/result-gallery.js";
import "../components/run-view.js";
