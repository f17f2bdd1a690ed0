// The only script: the theme button, and a fresh page every half minute until somebody
// opens a fold-out. Every page works without it.
"use strict";
(function () {
  const root = document.documentElement;
  const button = document.querySelector(".theme");
  // Storage may be forbidden: then the theme lasts for this page only.
  const keep = (value) => {
    try {
      if (value === undefined) return localStorage.getItem("theme");
      localStorage.setItem("theme", value);
    } catch {
      return null;
    }
    return value;
  };
  const stored = keep();
  if (stored === "light" || stored === "dark") root.dataset.theme = stored;
  if (button) {
    const label = () => {
      const dark = root.dataset.theme
        ? root.dataset.theme === "dark"
        : matchMedia("(prefers-color-scheme: dark)").matches;
      button.textContent = dark ? "Light" : "Dark";
      return dark;
    };
    button.hidden = false;
    label();
    button.addEventListener("click", () => {
      root.dataset.theme = label() ? "light" : "dark";
      keep(root.dataset.theme);
      label();
    });
  }
  const live = document.querySelector("main");
  let reading = false;
  live.addEventListener("click", (event) => {
    if (event.target.closest("summary")) reading = true;
  });
  setInterval(async () => {
    if (document.hidden || reading) return;
    if (document.activeElement && document.activeElement !== document.body) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      live.replaceChildren(...fresh.querySelector("main").childNodes);
      document.querySelector(".fresh").replaceWith(fresh.querySelector(".fresh"));
    } catch {
      // The monitor is away; the page stays as it is and its time line says how old it is.
    }
  }, 30000);
})();
