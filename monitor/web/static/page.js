// The theme button, fold-outs that links point into, and a fresh page every half minute until
// somebody opens a fold-out. Every page works without it.
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
      button.textContent = dark ? button.dataset.light : button.dataset.dark;
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
  // A picture as PNG: drawn from the SVG at twice its size.
  const png = (button) => {
    button.hidden = false;
    button.addEventListener("click", () => {
      const image = new Image();
      image.addEventListener("load", () => {
        const canvas = document.createElement("canvas");
        canvas.width = 2 * image.width;
        canvas.height = 2 * image.height;
        canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
        canvas.toBlob((blob) => {
          const link = document.createElement("a");
          link.href = URL.createObjectURL(blob);
          link.download = "reachwatch.png";
          link.click();
          setTimeout(() => URL.revokeObjectURL(link.href), 1000);
        });
      });
      image.src = button.dataset.picture;
    });
  };
  document.querySelectorAll("button.png").forEach(png);
  const live = document.querySelector("main");
  let reading = false;
  live.addEventListener("click", (event) => {
    if (event.target.closest("summary")) reading = true;
  });
  // A link to a row inside a fold-out opens it.
  const unfold = () => {
    const at = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const fold = at && (at.closest("details") || at.parentElement.querySelector("details.fold"));
    if (fold && !fold.open) {
      fold.open = true;
      at.scrollIntoView();
    }
  };
  addEventListener("hashchange", unfold);
  unfold();
  let shown = new Date().toISOString();
  // The page stays as it is, and says from when.
  const away = () => {
    const line = document.querySelector(".fresh");
    if (line.classList.contains("away")) return;
    line.classList.add("stalled", "away");
    const said = document.createElement("span");
    said.className = "wide";
    said.textContent = line.dataset.away.replace("{time}", shown.slice(11, 16));
    line.replaceChildren(said);
  };
  const refresh = async () => {
    if (document.hidden || reading || document.querySelector(".chart canvas")) return;
    if (document.activeElement && document.activeElement !== document.body) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (answer.status >= 500) away();
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      shown = new Date().toISOString();
      live.replaceChildren(...fresh.querySelector("main").childNodes);
      document.querySelectorAll("button.png").forEach(png);
      document.querySelector(".fresh").replaceWith(fresh.querySelector(".fresh"));
    } catch {
      away();
    }
  };
  setInterval(refresh, 30000);
  const followed = document.querySelector(".live");
  if (followed && typeof EventSource !== "undefined") {
    const stream = new EventSource(followed.dataset.stream);
    stream.addEventListener("concluded", refresh);
    addEventListener("pagehide", () => stream.close());
  }
})();
