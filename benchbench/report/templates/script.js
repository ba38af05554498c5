"use strict";
(() => {
  const root = document.documentElement;

  // Theme: follows the system until the reader chooses.
  const themeButton = document.getElementById("theme");
  const dark = () => (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { themeButton.textContent = dark() ? "Light colours" : "Dark colours"; };
  themeButton.hidden = false;
  nameTheme();
  themeButton.addEventListener("click", () => { root.dataset.theme = dark() ? "light" : "dark"; nameTheme(); });

  // The contents stand open on wide screens only.
  const contents = document.querySelector(".contents details");
  if (contents && matchMedia("(min-width: 70rem)").matches) contents.open = true;

  // Sortable tables: a button in each header that has data-sort.
  const value = (row, column) => {
    const cell = row.children[column];
    const raw = cell.dataset.value ?? cell.textContent.trim();
    if (raw === "") return null;
    const number = Number(raw);
    return Number.isNaN(number) ? raw.toLowerCase() : number;
  };
  const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...[...head.childNodes].filter((n) => !n.classList?.contains("unit")));
      head.prepend(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") !== "descending";
        heads.forEach((h) => h.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].map((row, i) => [value(row, column), i, row]);
        rows.sort(([a, i], [b, j]) => {
          if (a === null || b === null) return (a === null) - (b === null) || i - j;
          return (down ? -compare(a, b) : compare(a, b)) || i - j;
        });
        body.append(...rows.map(([, , row]) => row));
      });
    });
  }

  // Tooltips: a hairline on curves, the nearest point on scatter plots; arrow keys move it too.
  const data = JSON.parse(document.getElementById("plots").textContent);
  const number = (v) => (Math.abs(v) >= 1000 ? v.toPrecision(4) : v.toFixed(3)).replace("-", "−");
  const at = (series, x) => {
    const xs = series.x, ys = series.y;
    if (!xs.length || x < xs[0] || x > xs[xs.length - 1]) return null;
    let low = 0, high = xs.length - 1;
    while (high - low > 1) { const middle = (low + high) >> 1; if (xs[middle] <= x) low = middle; else high = middle; }
    const span = xs[high] - xs[low];
    return span > 0 ? ys[low] + (ys[high] - ys[low]) * (x - xs[low]) / span : Math.max(ys[low], ys[high]);
  };
  for (const holder of document.querySelectorAll(".plot[data-figure]")) {
    const plots = data[holder.dataset.figure];
    const svg = holder.querySelector("svg");
    if (!plots || !svg) continue;
    const view = svg.viewBox.baseVal;
    const tip = document.createElement("div"), hair = document.createElement("div");
    tip.className = "tip"; tip.setAttribute("role", "status"); hair.className = "hair";
    tip.hidden = hair.hidden = true;
    holder.append(hair, tip);
    const inner = (plot) => (plot.log_x ? plot.x.map(Math.log10) : plot.x);
    const toX = (plot, v) => { const [a, b] = inner(plot), [l, , r] = plot.box; return l + ((plot.log_x ? Math.log10(v) : v) - a) / (b - a) * (r - l); };
    const toY = (plot, v) => { const [a, b] = plot.y, [, t, , m] = plot.box; return m - (v - a) / (b - a) * (m - t); };
    const show = (plot, sx, sy) => {
      const scale = svg.clientWidth / view.width;
      const lines = [];
      tip.replaceChildren();
      let markX = sx;
      if (plot.curves) {
        const [a, b] = inner(plot), [l, , r] = plot.box;
        let x = a + (sx - l) / (r - l) * (b - a);
        if (plot.log_x) x = 10 ** x;
        for (const series of plot.series) { const y = at(series, x); if (y !== null) lines.push(`${series.name}: ${number(y)}`); }
        if (!lines.length) return hide();
        lines.unshift(`${plot.x_name} ${number(x)}, ${plot.y_name}`);
      } else {
        let best = null;
        for (const series of plot.series) series.x.forEach((x, i) => {
          const px = toX(plot, x), py = toY(plot, series.y[i]), d = Math.hypot(px - sx, py - sy);
          if (!best || d < best[0]) best = [d, px, series, i];
        });
        if (!best || best[0] > 60) return hide();
        const [, px, series, i] = best;
        markX = px;
        lines.push(series.name, `${plot.x_name} ${number(series.x[i])}, ${plot.y_name} ${number(series.y[i])}`);
        if (series.labels && series.labels[i]) lines.push(series.labels[i]);
      }
      lines.forEach((line, i) => { const e = document.createElement(i ? "span" : "b"); e.textContent = line; if (i) e.style.display = "block"; tip.append(e); });
      tip.hidden = hair.hidden = false;
      hair.style.left = `${markX * scale}px`; hair.style.top = `${plot.box[1] * scale}px`; hair.style.height = `${(plot.box[3] - plot.box[1]) * scale}px`;
      const room = holder.clientWidth - tip.offsetWidth;
      tip.style.left = `${Math.max(0, Math.min(markX * scale + 12, room))}px`;
      tip.style.top = `${plot.box[1] * scale + 8}px`;
    };
    const hide = () => { tip.hidden = hair.hidden = true; };
    const find = (sx, sy) => plots.find((p) => sx >= p.box[0] - 4 && sx <= p.box[2] + 4 && sy >= p.box[1] - 4 && sy <= p.box[3] + 4);
    holder.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect(), scale = view.width / box.width;
      const sx = (event.clientX - box.left) * scale, sy = (event.clientY - box.top) * scale, plot = find(sx, sy);
      if (plot) show(plot, sx, sy); else hide();
    });
    holder.addEventListener("pointerleave", hide);
    let place = null;
    holder.addEventListener("keydown", (event) => {
      if (event.key === "Escape") { place = null; return hide(); }
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const stops = plots.flatMap((plot) => plot.curves
        ? Array.from({ length: 20 }, (_, i) => [plot, plot.box[0] + (i + 1) / 21 * (plot.box[2] - plot.box[0]), 0])
        : plot.series.flatMap((s) => s.x.map((x, i) => [plot, toX(plot, x), toY(plot, s.y[i])])));
      place = place === null ? (step > 0 ? 0 : stops.length - 1) : (place + step + stops.length) % stops.length;
      show(...stops[place]);
    });
    holder.addEventListener("blur", () => { place = null; hide(); });
  }

  // Print everything that is folded away.
  addEventListener("beforeprint", () => {
    for (const d of document.querySelectorAll("details")) if (!d.open) { d.dataset.shut = ""; d.open = true; }
  });
  addEventListener("afterprint", () => {
    for (const d of document.querySelectorAll("details[data-shut]")) { d.open = false; delete d.dataset.shut; }
  });

  // Where the reader is.
  const links = new Map([...document.querySelectorAll(".contents a")].map((a) => [a.hash.slice(1), a]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting && links.has(entry.target.id)) {
      links.forEach((a) => a.removeAttribute("aria-current"));
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, { rootMargin: "0px 0px -75% 0px" });
  for (const id of links.keys()) { const target = document.getElementById(id); if (target) seen.observe(target); }
})();
