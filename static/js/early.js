// Before the first paint, to avoid flashing: applies the chosen theme, if any.
try {
	const theme = localStorage.getItem("gateway.theme");
	if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {} // without storage the system's theme is used
