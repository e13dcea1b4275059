// Filters, search and choice of columns of a table. The address keeps the filters, so that they can be shared.
for (const panel of document.querySelectorAll("[data-filters]")) {
  const table = document.getElementById(panel.dataset.filters);
  const rows = [...table.tBodies[0].rows];
  const count = panel.querySelector("[aria-live]");
  const controls = [...panel.querySelectorAll("[data-filter]")];
  const boxes = [...panel.querySelectorAll("[data-column]")];
  const own = (name) => `${table.id}.${name}`;

  // A row's values are in its attributes or follow from the texts of its cells: {column: {text: {filter: value}}}.
  const facts = Object.entries(JSON.parse(panel.dataset.facts ?? "{}"));
  const text = (cell) => (cell.querySelector("a") ?? cell).textContent.trim();
  const known = new Map(rows.map((row) => [
    row, Object.assign({}, row.dataset, ...facts.map(([column, texts]) => texts[text(row.cells[column])])),
  ]));

  const matches = (row, control) => {
    const wanted = control.value;
    if (wanted === "") return true;
    if (control.type === "search") return row.textContent.toLowerCase().includes(wanted.trim().toLowerCase());
    return known.get(row)[control.dataset.filter].split("\n").includes(wanted);
  };

  const remember = () => {
    const state = new URLSearchParams(location.hash.startsWith("#?") ? location.hash.slice(2) : "");
    for (const control of controls) {
      state.delete(own(control.dataset.filter));
      if (control.value !== "") state.set(own(control.dataset.filter), control.value);
    }
    const text = state.toString();
    if (text || location.hash.startsWith("#?")) history.replaceState(null, "", "#" + (text ? "?" + text : ""));
  };

  const apply = () => {
    let shown = 0;
    for (const row of rows) {
      row.hidden = !controls.every((control) => matches(row, control));
      shown += !row.hidden;
    }
    count.textContent = `${shown} of ${rows.length} rows`;
  };

  const columns = () => {
    for (const box of boxes) {
      for (const row of [...table.tHead.rows, ...rows]) row.cells[Number(box.dataset.column)].hidden = !box.checked;
    }
  };

  const state = new URLSearchParams(location.hash.startsWith("#?") ? location.hash.slice(2) : "");
  for (const control of controls) {
    control.value = state.get(own(control.dataset.filter)) ?? "";
    if (control.selectedIndex === -1) control.value = "";
    control.addEventListener("input", () => { apply(); remember(); });
  }
  for (const box of boxes) box.addEventListener("change", columns);
  panel.querySelector("[data-reset]").addEventListener("click", () => {
    for (const control of controls) control.value = "";
    for (const box of boxes) box.checked = true;
    apply(); columns(); remember();
  });
  panel.hidden = false;
  apply();
  columns();
}
