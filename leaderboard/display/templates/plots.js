// Plots: plotly is loaded when the first one comes into view. They use the page's colours and are redrawn when these change.
{
  const figures = [...document.querySelectorAll("[data-figure]")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Set();

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const draw = (element) => {
    const { data, layout } = JSON.parse(element.dataset.figure);
    const axis = { gridcolor: colour("--rule"), zerolinecolor: colour("--mark"), linecolor: colour("--rule") };
    Plotly.react(element, data, {
      ...layout,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: colour("--ink"), family: getComputedStyle(document.body).fontFamily, size: 12 },
      hoverlabel: { bgcolor: colour("--page"), bordercolor: colour("--mark"), font: { color: colour("--ink") }, namelength: -1 },
      xaxis: { ...axis, ...layout.xaxis }, yaxis: { ...axis, ...layout.yaxis },
    }, { displayModeBar: false, responsive: true });
    element.dataset.drawn = dark.matches ? "dark" : "light";
    drawn.add(element);
  };

  let loading;
  const plotly = () => loading ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = document.body.dataset.base + "plotly.min.js";
    script.addEventListener("load", resolve);
    script.addEventListener("error", reject);
    document.head.append(script);
  });

  const explain = (element) => { element.textContent = "The plot cannot be drawn: plotly.min.js is missing from the site. Its numbers are in the tables."; };
  const show = (element) => plotly().then(() => draw(element), () => explain(element));

  const near = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((e) => e.isIntersecting)) {
      near.unobserve(entry.target);
      show(entry.target);
    }
  }, { rootMargin: "300px" });
  for (const element of figures) near.observe(element);
  dark.addEventListener("change", () => drawn.forEach(draw));
  addEventListener("beforeprint", () => figures.filter((e) => !drawn.has(e)).forEach(show));
}
