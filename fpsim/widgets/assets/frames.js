// In an exported page there is no kernel: a control shows the frames that were drawn for each of its settings.
// The page also holds bits.js, whose `render` needs no frames: it computes.

function mountPanel(place) {
  const { controls, frames } = JSON.parse(place.querySelector('script[type="application/json"]').textContent);
  const picture = place.querySelector("img");
  const sentence = place.querySelector(".fpsim-sentence");
  const at = controls.map((control) => control.start);
  const show = () => {
    const index = controls.reduce((sum, control, i) => sum * control.labels.length + at[i], 0);
    picture.src = frames[index].png;
    picture.alt = sentence.textContent = frames[index].sentence;
  };
  const settings = document.createElement("div");
  settings.className = "fpsim-settings";
  controls.forEach((control, i) => {
    const label = document.createElement("label");
    label.append(control.label + " ");
    const slider = control.kind === "slider";
    const input = document.createElement(slider ? "input" : "select");
    const value = document.createElement("output");
    if (slider) Object.assign(input, { type: "range", min: 0, max: control.labels.length - 1, step: 1 });
    else control.labels.forEach((text, k) => input.append(new Option(text, k)));
    input.value = control.start;
    const moved = () => {
      at[i] = Number(input.value);
      value.textContent = control.labels[at[i]];
      input.setAttribute("aria-valuetext", control.labels[at[i]]);
      show();
    };
    input.addEventListener("input", moved);
    label.append(input);
    if (slider) label.append(value);
    settings.append(label);
    value.textContent = control.labels[control.start];
    input.setAttribute("aria-valuetext", control.labels[control.start]);
  });
  place.prepend(settings);
}

// What anywidget gives `render` in a notebook: values, and who is told when one changes.
function mountBits(place, render) {
  const values = JSON.parse(place.querySelector('script[type="application/json"]').textContent);
  const listeners = [];
  const model = {
    get: (name) => values[name],
    set: (name, value) => {
      values[name] = value;
      listeners.forEach(([event, tell]) => event === `change:${name}` && tell());
    },
    on: (event, tell) => listeners.push([event, tell]),
    save_changes: () => {},
  };
  const el = document.createElement("div");
  place.replaceChildren(el);
  render({ model, el });
}

document.querySelectorAll('[data-fpsim="panel"]').forEach(mountPanel);
document.querySelectorAll('[data-fpsim="bits"]').forEach((place) => mountBits(place, render));
