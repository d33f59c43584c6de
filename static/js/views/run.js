// The modules of the view "run".
import "../components/run/parameter-field.js";
import "../components/run/workflow-library.js";
import "../components/run/run-form.js";
import "../components/run/run-bar.js";
import "../components/results/result-gallery.js";
import "../components/run/run-view.js";
