// A script that runs before the first paint, so that the page does not change its colours after it.
document.documentElement.dataset.theme = localStorage.getItem("stockctl.theme") || "auto";
